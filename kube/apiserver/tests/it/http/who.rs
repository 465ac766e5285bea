//! Authentication, impersonation and authorization as a client meets them.

use serde_json::json;

use super::{Front, request, whole};

#[tokio::test]
async fn strangers_see_only_health() {
    let front = Front::new().await;
    for (path, code) in
        [("/livez", 200), ("/readyz", 200), ("/healthz", 200), ("/version", 401), ("/api", 401), ("/x", 401)]
    {
        let answer = whole(front.send_as(None, request("GET", path, &[], "")).await).await;
        assert_eq!(answer.code, code, "{path}");
    }
    let answer = whole(front.send_as(None, request("GET", "/api/v1/pods", &[], "")).await).await;
    assert_eq!(answer.json()["reason"], "Unauthorized");
    let token = [("authorization", "Bearer nonsense")];
    let answer = whole(front.send_as(None, request("GET", "/api/v1/pods", &token, "")).await).await;
    assert_eq!(answer.code, 401);
    front.end().await;
}

#[tokio::test]
async fn others_may_what_roles_say() {
    let front = Front::new().await;
    let bob = [("impersonate-user", "bob"), ("impersonate-group", "system:authenticated")];
    let answer = front.get_with("/api/v1/namespaces/a/pods/x", &bob).await;
    assert_eq!(answer.code, 403);
    assert_eq!(
        answer.json()["message"],
        "pods \"x\" is forbidden: User \"bob\" cannot get resource \"pods\" in API group \"\" in the namespace \"a\""
    );
    assert_eq!(front.get_with("/version", &bob).await.code, 200);
    assert_eq!(front.get_with("/metrics", &bob).await.code, 403);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let made = front.ask("POST", path, "application/json", binding.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let pods = "/api/v1/namespaces/default/pods";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while front.get_with(pods, &bob).await.code != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(front.get_with("/api/v1/namespaces/default/secrets", &bob).await.code, 403);
    front.end().await;
}

#[tokio::test]
async fn reviews_are_answered() {
    let front = Front::new().await;
    let review =
        json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = front.ask("POST", path, "application/json", review.to_string()).await;
    assert_eq!((answer.code, &answer.json()["status"]["allowed"]), (201, &json!(true)), "{}", answer.text());
    let table =
        [("content-type", "application/json"), ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let answer = whole(front.send(request("POST", path, &table, review.to_string())).await).await;
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (406, Some("NotAcceptable")));
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = front.ask("POST", path, "application/json", "{}").await;
    let groups = &answer.json()["status"]["userInfo"]["groups"];
    assert!(groups.as_array().unwrap().contains(&json!("system:masters")), "{groups}");
    let keys = front.get("/openid/v1/jwks").await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    let configuration = front.get("/.well-known/openid-configuration").await.json();
    assert_eq!(configuration["issuer"], "https://issuer");
    front.end().await;
}
