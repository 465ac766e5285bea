//! Graceful node shutdown: pods end with the node, those that matter least first.

use std::fs;

use serde_json::json;
use testkit::cluster::Cluster;
use testkit::isolated;

use super::{busybox, condition, pod, until};

#[test]
fn pods_end_with_the_node_in_the_order_of_their_priority() {
    isolated(|| {
        let strake = busybox();
        let manifests = strake.home().join("manifests");
        fs::create_dir_all(&manifests).unwrap();
        let periods = "0=20s,1000=20s,2000000000=20s";
        let mut cluster = Cluster::start_with(
            strake,
            &[
                "--shutdown-grace-period-by-pod-priority",
                periods,
                "--pod-manifests",
                &manifests.to_string_lossy(),
            ],
        );
        let told = cluster.home().join("told");
        fs::create_dir_all(&told).unwrap();
        let volumes = json!([{"name": "told", "hostPath": {"path": told.to_string_lossy()}}]);
        let container = |name: &str| {
            let ends =
                format!("trap 'echo {name} >> /told/order; exit 0' TERM; while true; do sleep 0.1; done");
            json!({"command": ["sh", "-c", ends], "volumeMounts": [{"name": "told", "mountPath": "/told"}]})
        };
        let with = |class: &str| json!({"priorityClassName": class, "volumes": volumes, "terminationGracePeriodSeconds": 15});
        cluster.apply(
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: dear}\nvalue: 1000\n",
        );
        cluster.apply(&pod("dear", &container("dear"), &with("dear")));
        cluster.apply(&pod("system", &container("system"), &with("system-node-critical")));
        cluster.apply(&pod("plain", &container("plain"), &json!({"volumes": volumes})));
        fs::write(manifests.join("own.yaml"), pod("own", &container("own"), &with("system-node-critical")))
            .unwrap();
        for name in ["dear", "system", "plain", "own-n1"] {
            cluster.wait_pod(name);
        }
        let before =
            super::object(&cluster, "pod/own-n1")["status"]["containerStatuses"][0]["containerID"].clone();
        cluster.terminate();
        let order = fs::read_to_string(told.join("order")).unwrap();
        let order: Vec<&str> = order.lines().collect();
        assert_eq!(order[..2], ["plain", "dear"]);
        assert!(order[2..].contains(&"system") && order[2..].contains(&"own"), "{order:?}");
        assert_eq!(cluster.strake().ok(&["ps", "-q"]).trim(), "");
        cluster.restart();
        for name in ["dear", "system", "plain"] {
            let pod =
                until(&cluster, &format!("pod/{name}"), "over", |pod| pod["status"]["phase"] == "Failed");
            assert_eq!(pod["status"]["reason"], "Terminated");
            let why = "Pod was terminated in response to imminent node shutdown.";
            assert_eq!(pod["status"]["message"], why);
            let target = condition(&pod, "DisruptionTarget").expect("a condition");
            assert_eq!(
                (&target["status"], &target["reason"]),
                (&json!("True"), &json!("TerminationByKubelet"))
            );
        }
        // The node's own pods begin again with it.
        until(&cluster, "pod/own-n1", "running again", |pod| {
            let status = &pod["status"]["containerStatuses"][0];
            status["ready"] == true && status["containerID"] != before
        });
        until(&cluster, "node/n1", "ready again", |node| {
            condition(node, "Ready").is_some_and(|it| it["status"] == "True")
        });
    });
}
