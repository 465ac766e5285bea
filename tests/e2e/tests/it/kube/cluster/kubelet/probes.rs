//! Probes over gRPC and HTTPS, by a server that speaks both: Debian's etcd in a pod.

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::isolated;

use super::{cluster, condition, event, pod, until};

/// A pod of etcd, taken from this machine with the libraries that it needs.
fn etcd(name: &str, scheme: &str, probes: &Value) -> String {
    let host = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path}});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    let listen = format!("{scheme}://0.0.0.0:2379");
    let mut command = vec![
        "/usr/bin/etcd",
        "--data-dir=/tmp/etcd",
        "--listen-client-urls",
        &listen,
        "--advertise-client-urls",
    ];
    command.push(&listen);
    if scheme == "https" {
        command.push("--auto-tls");
    }
    let mut container = json!({
        "command": command, "ports": [{"name": "client", "containerPort": 2379}],
        "volumeMounts": [mount("etcd", "/usr/bin/etcd"), mount("lib", "/lib/x86_64-linux-gnu"), mount("loader", "/lib64")],
    });
    super::merge(&mut container, probes);
    let volumes = json!([
        host("etcd", "/usr/bin/etcd"),
        host("lib", "/lib/x86_64-linux-gnu"),
        host("loader", "/lib64")
    ]);
    pod(name, &container, &json!({"volumes": volumes}))
}

fn restarted(cluster: &Cluster, name: &str) {
    until(cluster, &format!("pod/{name}"), "restarted", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1)
    });
}

#[test]
fn probes_speak_grpc() {
    isolated(|| {
        let cluster = cluster();
        let grpc = |service: &str| json!({"grpc": {"port": 2379, "service": service}, "periodSeconds": 1, "failureThreshold": 2});
        let startup = json!({"grpc": {"port": 2379}, "periodSeconds": 1, "failureThreshold": 60});
        let good = json!({"startupProbe": startup, "livenessProbe": grpc(""), "readinessProbe": grpc("")});
        let bad =
            json!({"startupProbe": startup, "livenessProbe": grpc("nobody"), "readinessProbe": grpc("")});
        cluster.apply(&[etcd("good", "http", &good), etcd("bad", "http", &bad)].join("\n---\n"));
        cluster.wait_pod("good");
        restarted(&cluster, "bad");
        let why = event(&cluster, "bad", "Killing");
        assert_eq!(why, "Container app failed liveness probe, will be restarted");
        let good = super::object(&cluster, "pod/good");
        assert_eq!(good["status"]["containerStatuses"][0]["restartCount"], 0);
    });
}

#[test]
fn probes_speak_https() {
    isolated(|| {
        let cluster = cluster();
        let get = |path: &str, threshold: u32| {
            json!({"httpGet": {"scheme": "HTTPS", "port": "client", "path": path}, "periodSeconds": 1,
                "failureThreshold": threshold})
        };
        let good = json!({"startupProbe": get("/health", 60), "livenessProbe": get("/health", 3),
            "readinessProbe": get("health", 3)});
        let bad = json!({"startupProbe": get("/health", 60), "livenessProbe": get("/health", 3),
            "readinessProbe": get("/nothing", 1)});
        cluster.apply(&[etcd("good", "https", &good), etcd("bad", "https", &bad)].join("\n---\n"));
        cluster.wait_pod("good");
        let pod = until(&cluster, "pod/bad", "started", |pod| {
            pod["status"]["containerStatuses"][0]["started"] == true
        });
        assert_eq!(condition(&pod, "Ready").expect("seen")["status"], "False");
        testkit::wait_for("the event of the probe that fails", || {
            let told = cluster.kubectl(&[
                "get",
                "events",
                "--field-selector",
                "involvedObject.name=bad,reason=Unhealthy",
                "-o",
                "jsonpath={.items[*].message}",
            ]);
            told.stdout
                .contains("Readiness probe failed: HTTP probe failed with statuscode: 404")
                .then_some(())
        });
    });
}
