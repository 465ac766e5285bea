//! Addresses and ports of services.

use serde_json::{Value, json};

use crate::rig::Rig;

fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_get_addresses_and_give_them_back() {
    let rig = Rig::new().await;
    let first = rig.get("services default kubernetes").await.unwrap();
    assert_eq!(first["spec"]["clusterIP"], "10.43.0.1");
    let made = rig.create("services default", service("web", json!({}))).await.unwrap().to_value();
    let spec = &made["spec"];
    let address = spec["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.43."), "{address}");
    assert_eq!(spec["clusterIPs"], json!([address]));
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    let taken = rig.get(&format!("networking.k8s.io/ipaddresses - {address}")).await.unwrap();
    assert_eq!(taken["spec"]["parentRef"]["name"], "web");

    let same = service("other", json!({"clusterIP": address}));
    let status = rig.create("services default", same.clone()).await.unwrap_err();
    assert_eq!(status.code, 422);
    assert!(status.message.contains("provided IP is already allocated"), "{}", status.message);
    let outside =
        rig.create("services default", service("o", json!({"clusterIP": "10.1.1.1"}))).await.unwrap_err();
    assert!(outside.message.contains("is not in the valid range"), "{}", outside.message);

    rig.delete("services default web").await.unwrap();
    assert_eq!(rig.get(&format!("networking.k8s.io/ipaddresses - {address}")).await.unwrap_err().code, 404);
    rig.create("services default", same).await.unwrap();

    let headless =
        rig.create("services default", service("h", json!({"clusterIP": "None", "selector": {"a": "b"}})));
    assert_eq!(headless.await.unwrap().to_value()["spec"]["clusterIPs"], json!(["None"]));
    let external =
        json!({"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "example.com"}});
    let external = rig.create("services default", external).await.unwrap().to_value();
    assert!(external["spec"].get("clusterIP").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_ports_are_unique() {
    let rig = Rig::new().await;
    let made =
        rig.create("services default", service("a", json!({"type": "NodePort"}))).await.unwrap().to_value();
    let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&port));
    let mut same = service("b", json!({"type": "NodePort"}));
    same["spec"]["ports"][0]["nodePort"] = json!(port);
    let status = rig.create("services default", same.clone()).await.unwrap_err();
    assert!(status.message.contains("provided port is already allocated"), "{}", status.message);

    let mut plain = (*made).clone();
    plain["spec"]["type"] = json!("ClusterIP");
    let plain = rig.update("services default a", plain).await.unwrap().to_value();
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    assert_eq!(plain["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    rig.create("services default", same).await.unwrap();
    let status = rig.create("services default", {
        let mut low = service("low", json!({"type": "NodePort"}));
        low["spec"]["ports"][0]["nodePort"] = json!(80);
        low
    });
    assert!(status.await.unwrap_err().message.contains("The range of valid ports is 30000-32767"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_made_at_once_differ() {
    let rig = std::sync::Arc::new(Rig::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..40 {
        let rig = std::sync::Arc::clone(&rig);
        tasks.spawn(async move {
            let object = service(&format!("s{at}"), json!({"type": "NodePort"}));
            let made = rig.create("services default", object).await.unwrap().to_value();
            (made["spec"]["clusterIP"].clone(), made["spec"]["ports"][0]["nodePort"].clone())
        });
    }
    let all = tasks.join_all().await;
    let addresses: std::collections::BTreeSet<String> = all.iter().map(|(ip, _)| ip.to_string()).collect();
    let ports: std::collections::BTreeSet<String> = all.iter().map(|(_, port)| port.to_string()).collect();
    assert_eq!((addresses.len(), ports.len()), (40, 40));
}

/// What the first start has made is in the way of no later one, nor of another server of the store.
#[tokio::test]
async fn starts_again() {
    let rig = Rig::new().await;
    let before = rig.get("services default kubernetes").await.unwrap();
    rig.server.bootstrap().await.unwrap();
    assert_eq!(rig.get("services default kubernetes").await.unwrap(), before);
}
