//! CustomResourceDefinitions themselves, and watches of what they define.

use serde_json::{Value, json};

use crate::life::contains;
use crate::rig::{JSON_PATCH, Rig, rig, unique, wait_for};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GROUP: &str = "mygroup.example.com";

/// A definition of a kind of the cluster, with a schema that lets everything pass.
struct Defined {
    plural: String,
    name: String,
}

impl Defined {
    /// Makes it and waits until its resource is in the discovery documents.
    fn new(rig: &Rig, schema: &Value, labels: &Value) -> Self {
        let plural = unique("noxu").replace('-', "");
        let name = format!("{plural}.{GROUP}");
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "labels": labels},
            "spec": {"group": GROUP, "scope": "Cluster",
                "names": {"plural": plural, "singular": format!("{plural}one"), "kind": plural,
                    "listKind": format!("{plural}List")},
                "versions": [{"name": "v1beta1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema}}]},
        });
        let made = rig.create(DEFINITIONS, &object).ok();
        contains(&made["spec"], &object["spec"]);
        let served = |list: &Value| {
            list["resources"].as_array().is_some_and(|all| all.iter().any(|found| found["name"] == *plural))
        };
        wait_for(&name, || {
            let answer = rig.get(&format!("/apis/{GROUP}/v1beta1"));
            answer.code == 200 && served(&answer.json())
        });
        Self { plural, name }
    }

    fn path(&self) -> String {
        format!("{DEFINITIONS}/{}", self.name)
    }

    /// Where its objects are.
    fn objects(&self) -> String {
        format!("/apis/{GROUP}/v1beta1/{}", self.plural)
    }

    fn object(&self, name: &str) -> Value {
        json!({"apiVersion": format!("{GROUP}/v1beta1"), "kind": self.plural, "metadata": {"name": name}})
    }

    fn delete(&self, rig: &Rig) {
        rig.delete(&self.path()).ok();
        wait_for("the definition's end", || rig.get(&self.path()).code == 404);
    }
}

fn anything() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// [sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition creating/deleting custom resource definition objects works [Conformance]
#[test]
fn custom_resource_definition_resources_creating_and_deleting_works() {
    let rig = rig();
    let defined = Defined::new(&rig, &anything(), &json!({}));
    rig.get(&defined.objects()).ok();
    defined.delete(&rig);
    wait_for("its resource's end", || rig.get(&defined.objects()).code == 404);
}

/// [sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition listing custom resource definition objects works [Conformance]
#[test]
fn custom_resource_definition_resources_listing_works() {
    let rig = rig();
    let label = unique("list");
    let labels = json!({"e2e-list-test-uuid": label});
    let made: Vec<_> = (0..10).map(|_| Defined::new(&rig, &anything(), &labels)).collect();
    let other = Defined::new(&rig, &anything(), &json!({}));
    let selected = format!("{DEFINITIONS}?labelSelector=e2e-list-test-uuid%3D{label}");
    let list = rig.get(&selected).ok();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 10);
    for item in items {
        let found = made.iter().find(|defined| item["metadata"]["name"] == *defined.name);
        assert_eq!(item["spec"]["names"]["plural"], *found.expect("one of ours").plural);
    }
    rig.delete(&selected).ok();
    wait_for("the end of all", || rig.get(&selected).ok()["items"].as_array().unwrap().is_empty());
    for defined in &made {
        rig.get(&defined.path()).refused(404);
    }
    rig.get(&other.path()).ok();
    other.delete(&rig);
}

/// [sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource works [Conformance]
#[test]
fn custom_resource_definition_resources_status_sub_resource_works() {
    let rig = rig();
    let defined = Defined::new(&rig, &anything(), &json!({}));
    let status = format!("{}/status", defined.path());
    let spec = rig.get(&defined.path()).ok()["spec"].clone();
    // As a client of Go writes a condition of which only the message is set.
    let condition = json!({"type": "", "status": "", "lastTransitionTime": null, "message": "updated"});
    let updated = loop {
        let mut object = rig.get(&status).ok();
        assert_eq!(object["spec"], spec);
        // The resource is served a moment before its status says so.
        let before = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        object["status"]["conditions"] = before.into_iter().chain([condition.clone()]).collect();
        let answer = rig.update(&status, &object);
        if answer.code != 409 {
            break answer.ok();
        }
    };
    let has = |object: &Value, message: &str| {
        let conditions = object["status"]["conditions"].as_array().unwrap();
        let plain = |condition: &Value, name: &str| condition[name].as_str().unwrap_or("").is_empty();
        conditions
            .iter()
            .any(|found| found["message"] == message && plain(found, "type") && plain(found, "reason"))
    };
    assert!(has(&updated, "updated"), "{updated}");
    let patch = json!([{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]);
    let patched = rig.patch(&status, JSON_PATCH, &patch).ok();
    assert!(has(&patched, "patched") && !has(&patched, "updated"), "{patched}");
    assert_eq!(patched["spec"], spec);
    // The server says itself again what holds, and still serves the resource.
    wait_for("the server's own conditions", || {
        let object = rig.get(&status).ok();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|found| found["type"] == "Established" && found["status"] == "True")
    });
    rig.get(&defined.objects()).ok();
    defined.delete(&rig);
}

/// [sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for requests and from storage works [Conformance]
#[test]
fn custom_resource_definition_resources_defaulting_for_requests_and_from_storage_works() {
    let rig = rig();
    let mut schema = anything();
    schema["properties"] = json!({"a": {"type": "string"}, "b": {"type": "string"}});
    let defined = Defined::new(&rig, &schema, &json!({}));
    let first = format!("{}/cr-1", defined.objects());
    let made = rig.create(&defined.objects(), &defined.object("cr-1")).ok();
    assert!(made.get("a").is_none(), "{made}");

    let place = |name: &str| format!("/spec/versions/0/schema/openAPIV3Schema/properties/{name}/default");
    let add = json!([{"op": "add", "path": place("a"), "value": "A"}]);
    rig.patch(&defined.path(), JSON_PATCH, &add).ok();
    wait_for("the default of what is stored", || {
        let found = rig.get(&first).ok();
        assert!(found.get("a").is_none_or(|a| a == "A"), "{found}");
        found.get("a").is_some()
    });
    let second = rig.create(&defined.objects(), &defined.object("cr-2")).ok();
    assert_eq!(second["a"], "A");

    let change = json!([{"op": "remove", "path": place("a")},
        {"op": "add", "path": place("b"), "value": "B"}]);
    rig.patch(&defined.path(), JSON_PATCH, &change).ok();
    let second = format!("{}/cr-2", defined.objects());
    wait_for("the other default", || rig.get(&second).ok()["b"] == "B");
    // It was stored with the object, unlike what the first one showed.
    assert_eq!(rig.get(&second).ok()["a"], "A");
    let first = rig.get(&first).ok();
    assert_eq!((first.get("a"), &first["b"]), (None, &json!("B")));
    defined.delete(&rig);
}

/// [sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource definition resources in discovery documents [Conformance]
#[test]
fn custom_resource_definition_resources_should_be_in_discovery_documents() {
    let rig = rig();
    let group = "apiextensions.k8s.io";
    let wanted = json!({"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"});
    let groups = rig.get("/apis").ok();
    let found = groups["groups"].as_array().unwrap().iter().find(|found| found["name"] == group);
    assert!(found.unwrap()["versions"].as_array().unwrap().contains(&wanted), "{groups}");
    let one = rig.get(&format!("/apis/{group}")).ok();
    assert_eq!(one["name"], group);
    assert!(one["versions"].as_array().unwrap().contains(&wanted), "{one}");
    let list = rig.get(&format!("/apis/{group}/v1")).ok();
    assert_eq!(list["groupVersion"], "apiextensions.k8s.io/v1");
    let resources = list["resources"].as_array().unwrap();
    for name in ["customresourcedefinitions", "customresourcedefinitions/status"] {
        assert!(resources.iter().any(|found| found["name"] == name), "{list}");
    }
}

/// [sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]
#[test]
fn custom_resource_definition_watch_on_custom_resource_definition_objects() {
    let rig = rig();
    let defined = Defined::new(&rig, &anything(), &json!({}));
    let objects = defined.objects();
    let names = ["name1", "name2"];
    let mut watches = names
        .map(|name| rig.watch(&format!("{objects}?fieldSelector=metadata.name%3D{name}&timeoutSeconds=600")));
    let make = |name: &str| {
        let mut object = defined.object(name);
        object["content"] = json!({"key": "value"});
        let made = rig.create(&objects, &object).ok();
        assert!(made["metadata"]["uid"].is_string(), "{made}");
        contains(&made, &object);
        made
    };
    // Each watch sees its own object's events, in their order, and nothing else between them.
    let made = names.map(make);
    for (watch, made) in watches.iter_mut().zip(&made) {
        assert_eq!(watch.event(), ("ADDED".to_owned(), made.clone()));
    }
    let add = json!([{"op": "add", "path": "/dummy", "value": "test"}]);
    let patched = names.map(|name| rig.patch(&format!("{objects}/{name}"), JSON_PATCH, &add).ok());
    for (watch, patched) in watches.iter_mut().zip(&patched) {
        assert_eq!(patched["dummy"], "test");
        assert_eq!(watch.event(), ("MODIFIED".to_owned(), patched.clone()));
    }
    for name in names {
        rig.delete(&format!("{objects}/{name}")).ok();
    }
    for (watch, name) in watches.iter_mut().zip(names) {
        let (kind, object) = watch.event();
        assert_eq!((kind.as_str(), &object["metadata"]["name"]), ("DELETED", &json!(name)));
    }
    defined.delete(&rig);
}
