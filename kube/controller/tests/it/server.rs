//! The loops on a real API server.

use controllers::known::{
    config_maps, deployments, endpoint_slices, endpoints, namespaces, persistent_volume_claims,
    persistent_volumes, pods, replica_sets, resource_quotas, secrets, service_accounts, service_cidrs,
    services,
};
use serde_json::{Value, json};

use crate::local::Cluster;

async fn namespace(cluster: &Cluster, name: &str) {
    cluster.create(namespaces(), "", json!({"metadata": {"name": name}})).await;
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}})
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template()},
    })
}

async fn grown(cluster: &Cluster, replicas: usize) {
    cluster.create(deployments(), "a", deployment(replicas as i64)).await;
    cluster
        .until("pods", async |cluster| (cluster.list(pods(), "a").await.len() == replicas).then_some(()))
        .await;
}

/// The node's part.
async fn make_ready(cluster: &Cluster) {
    for (number, pod) in cluster.list(pods(), "a").await.into_iter().enumerate() {
        cluster
            .change(pods(), "a", pod["metadata"]["name"].as_str().unwrap(), "status", |pod| {
                pod["status"] = json!({"phase": "Running", "podIP": format!("10.1.0.{number}"),
                    "podIPs": [{"ip": format!("10.1.0.{number}")}],
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    cluster.until("account", async |c| c.get(service_accounts(), "a", "default").await).await;
    cluster.until("map", async |c| c.get(config_maps(), "a", "kube-root-ca.crt").await).await;
    cluster.create(secrets(), "a", json!({"metadata": {"name": "s"}})).await;
    grown(&cluster, 3).await;
    cluster.delete(namespaces(), "", "a", "Background").await;
    cluster.until("the end", async |c| c.get(namespaces(), "", "a").await.is_none().then_some(())).await;
    for resource in [pods(), secrets(), service_accounts(), deployments(), replica_sets()] {
        assert!(cluster.list(resource, "a").await.is_empty(), "{}", resource.resource);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    grown(&cluster, 4).await;
    make_ready(&cluster).await;
    let done = async |c: &Cluster| {
        let found = c.get(deployments(), "a", "web").await?;
        let status = &found["status"];
        (status["availableReplicas"] == 4
            && status["updatedReplicas"] == 4
            && status["replicas"] == 4
            && status["observedGeneration"] == found["metadata"]["generation"])
            .then_some(found)
    };
    cluster.until("available", done).await;
    cluster
        .change(deployments(), "a", "web", "", |found| {
            found["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
        })
        .await;
    let found = cluster
        .until("rolled", async |c| {
            make_ready_quietly(c).await;
            done(c).await
        })
        .await;
    assert_eq!(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    let images: Vec<_> = cluster
        .list(pods(), "a")
        .await
        .iter()
        .map(|pod| pod["spec"]["containers"][0]["image"].clone())
        .collect();
    assert!(images.iter().all(|image| image == "web:2"), "{images:?}");
    let sets = cluster.list(replica_sets(), "a").await;
    assert_eq!(sets.len(), 2);
    let managers = &found["metadata"]["managedFields"];
    assert!(managers.to_string().contains("kube-controller-manager"));
    cluster.stop().await;
}

/// Pods may go while they are made ready.
async fn make_ready_quietly(cluster: &Cluster) {
    for pod in cluster.list(pods(), "a").await {
        let mut pod = pod;
        pod["status"] = json!({"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        drop(cluster.call(client::Call::update_status(pods(), pod)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_goes_as_told() {
    for (how, sets_left, pods_left) in [("Background", 0, 0), ("Foreground", 0, 0), ("Orphan", 1, 2)] {
        let cluster = Cluster::new().await;
        namespace(&cluster, "a").await;
        grown(&cluster, 2).await;
        cluster.delete(deployments(), "a", "web", how).await;
        cluster
            .until(how, async |c| {
                let sets = c.list(replica_sets(), "a").await;
                let counts =
                    (c.list(deployments(), "a").await.len(), sets.len(), c.list(pods(), "a").await.len());
                let free = sets.iter().all(|set| set["metadata"].get("ownerReferences").is_none());
                (counts == (0, sets_left, pods_left) && free).then_some(())
            })
            .await;
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_counted() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "10", "pods": "5"}}});
    cluster.create(resource_quotas(), "a", quota).await;
    let used = async |c: &Cluster, wanted: (&str, &str)| {
        let found = c.get(resource_quotas(), "a", "q").await?;
        (found["status"]["used"][wanted.0] == wanted.1).then_some(())
    };
    // The certificates' map counts too.
    cluster.until("counted", async |c| used(c, ("pods", "0")).await).await;
    cluster.create(pods(), "a", json!({"metadata": {"name": "p"}, "spec": template()["spec"]})).await;
    cluster.change(resource_quotas(), "a", "q", "", |quota| quota["spec"]["hard"]["pods"] = json!("6")).await;
    cluster.until("charged", async |c| used(c, ("pods", "1")).await).await;
    cluster
        .call(client::Call::delete(pods(), "a", "p").with(|o| o.grace_period_seconds = Some(0)))
        .await
        .unwrap();
    cluster.until("freed", async |c| used(c, ("pods", "0")).await).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_lead_to_pods() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    let service =
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    cluster.create(services(), "a", service).await;
    cluster.until("an empty slice", async |c| c.list(endpoint_slices(), "a").await.pop()).await;
    cluster.until("endpoints", async |c| c.get(endpoints(), "a", "web").await).await;
    grown(&cluster, 3).await;
    make_ready(&cluster).await;
    let slice = cluster
        .until("endpoints of the pods", async |c| {
            let slice = c.list(endpoint_slices(), "a").await.into_iter().next()?;
            let all = slice["endpoints"].as_array()?;
            (all.len() == 3 && all.iter().all(|one| one["conditions"]["ready"] == true)).then_some(slice)
        })
        .await;
    assert_eq!(slice["ports"][0]["port"], 80);
    cluster.delete(services(), "a", "web", "Background").await;
    cluster
        .until("nothing", async |c| {
            let left = c.list(endpoint_slices(), "a").await.len() + c.list(endpoints(), "a").await.len();
            (left == 0).then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_bound_and_protected() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "persistentVolumeReclaimPolicy": "Retain"}});
    cluster.create(persistent_volumes(), "", volume).await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}});
    cluster.create(persistent_volume_claims(), "a", claim).await;
    let phase = async |c: &Cluster, wanted: &str| {
        let claim = c.get(persistent_volume_claims(), "a", "c").await?;
        (claim["status"]["phase"] == wanted).then_some(claim)
    };
    let claim = cluster.until("bound", async |c| phase(c, "Bound").await).await;
    assert_eq!(claim["spec"]["volumeName"], "v");
    cluster.delete(persistent_volume_claims(), "a", "c", "Background").await;
    cluster
        .until("released", async |c| {
            let found = c.get(persistent_volumes(), "", "v").await?;
            (found["status"]["phase"] == "Released").then_some(())
        })
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_addresses_says_that_it_is_ready_and_waits_for_its_services() {
    let cluster = Cluster::new().await;
    namespace(&cluster, "a").await;
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.99.0.0/24"]}});
    cluster.create(service_cidrs(), "", range).await;
    let ready = |range: &Value| range["status"]["conditions"][0]["status"].as_str().map(str::to_owned);
    for name in ["kubernetes", "more"] {
        cluster
            .until(name, async |cluster| {
                let range = cluster.get(service_cidrs(), "", name).await?;
                (ready(&range).as_deref() == Some("True") && range["metadata"]["finalizers"][0].is_string())
                    .then_some(())
            })
            .await;
    }
    let service =
        json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.99.0.5", "ports": [{"port": 80}]}});
    cluster.create(services(), "a", service).await;
    cluster.delete(service_cidrs(), "", "more", "Background").await;
    let terminating = async |cluster: &Cluster| {
        let range = cluster.get(service_cidrs(), "", "more").await.expect("it is in use");
        (range["status"]["conditions"][0]["reason"] == "Terminating").then_some(())
    };
    cluster.until("the wait", terminating).await;
    cluster.delete(services(), "a", "s", "Background").await;
    let gone =
        async |cluster: &Cluster| cluster.get(service_cidrs(), "", "more").await.is_none().then_some(());
    cluster.until("the end", gone).await;
    cluster.stop().await;
}
