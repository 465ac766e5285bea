//! Discovery and OpenAPI documents, and how clients keep them.

use std::io::Read as _;

use super::Front;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[tokio::test]
async fn old_documents() {
    let front = Front::new().await;
    assert_eq!(front.get("/api").await.json()["versions"], serde_json::json!(["v1"]));
    let groups = front.get("/apis").await.json();
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]);
    let autoscaling = front.get("/apis/autoscaling").await.json();
    assert_eq!(autoscaling["preferredVersion"]["version"], "v2");
    let core = front.get("/api/v1").await.json();
    let resources = core["resources"].as_array().unwrap();
    let pods = resources.iter().find(|resource| resource["name"] == "pods").unwrap();
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=");
    assert_eq!(pods["shortNames"], serde_json::json!(["po"]));
    let scale = resources.iter().find(|it| it["name"] == "replicationcontrollers/scale").unwrap();
    assert_eq!((scale["group"].as_str(), scale["kind"].as_str()), (Some("autoscaling"), Some("Scale")));
    for path in ["/apis/none", "/apis/apps/v9", "/api/v2", "/apis/apps/v1/pods", "/api/v1/deployments"] {
        assert_eq!(front.get(path).await.code, 404, "{path}");
    }
    front.end().await;
}

#[tokio::test]
async fn aggregated_documents() {
    let front = Front::new().await;
    let accept = [("accept", AGGREGATED)];
    let first = front.get_with("/apis", &accept).await;
    assert_eq!(first.header("content-type"), AGGREGATED);
    let document = first.json();
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    let apps = document["items"].as_array().unwrap().iter().find(|it| it["metadata"]["name"] == "apps");
    let resources = apps.unwrap()["versions"][0]["resources"].as_array().unwrap();
    let deployments = resources.iter().find(|it| it["resource"] == "deployments").unwrap();
    assert_eq!(deployments["scope"], "Namespaced");
    assert_eq!(deployments["responseKind"]["kind"], "Deployment");
    let etag = first.header("etag");
    let again = front.get_with("/apis", &[accept[0], ("if-none-match", etag)]).await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let core = front.get_with("/api", &accept).await.json();
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
    front.end().await;
}

#[tokio::test]
async fn openapi_documents() {
    let front = Front::new().await;
    let index = front.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let immutable = front.get_with(url, &[("accept-encoding", "gzip")]).await;
    assert_eq!((immutable.code, immutable.header("cache-control")), (200, "public, immutable"));
    assert_eq!(immutable.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&immutable.body[..]).read_to_string(&mut text).unwrap();
    let plain = front.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(plain.text(), text);
    let stale = front.get("/openapi/v3/apis/apps/v1?hash=OLD").await;
    assert_eq!((stale.code, stale.header("location")), (301, url));
    let v2 = front.get("/openapi/v2").await;
    assert_eq!(v2.json()["swagger"], "2.0");
    let again = front.get_with("/openapi/v2", &[("if-none-match", v2.header("etag"))]).await;
    assert_eq!(again.code, 304);
    assert_eq!(front.get("/openapi/v3/apis/none/v1").await.code, 404);
    assert_eq!(front.get("/openapi/v9").await.code, 404);
    front.end().await;
}

#[tokio::test]
async fn a_type_without_fields_has_a_definition() {
    let front = Front::new().await;
    let document = front.get("/openapi/v3/apis/apiextensions.k8s.io/v1").await.json();
    let package = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
    let parts = &document["components"]["schemas"][format!("{package}.CustomResourceSubresources")];
    let reference = format!("#/components/schemas/{package}.CustomResourceSubresourceStatus");
    assert!(parts["properties"]["status"].to_string().contains(&reference), "{parts}");
    let empty = &document["components"]["schemas"][format!("{package}.CustomResourceSubresourceStatus")];
    assert_eq!((&empty["type"], empty.get("properties")), (&"object".into(), None));
    assert!(empty["description"].as_str().is_some_and(|words| words.contains("status")), "{empty}");
    front.end().await;
}
