//! Rows LC-01, CP-05, ND-01: what ends comes back, and the server's own end is nobody's.

use testkit::isolated;

use super::{cluster, exec, member, sleeper};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 1\n      containers:\n      - {name: app, image: busybox, \
    imagePullPolicy: IfNotPresent, command: [sleep, '3600']}\n";

#[test]
fn nd_01_a_pod_is_started_and_its_status_told() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("one", &["app"], ""));
        cluster.wait_pod("one");
        assert_eq!(member(&cluster, "pod/one", ".status.phase"), "Running");
        assert_eq!(member(&cluster, "pod/one", ".spec.nodeName"), "n1");
        let reasons = cluster.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
        for reason in ["Scheduled", "Pulled", "Created", "Started"] {
            assert!(reasons.ok().split(' ').any(|found| found == reason), "{reason} in {}", reasons.ok());
        }
        cluster.kubectl(&["delete", "pod", "one"]).ok();
        cluster.wait_for(&["get", "pods"], "No resources found in default namespace.\n");
    });
}

#[test]
fn lc_01_a_container_that_crashes_comes_back_with_back_off() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: crash}\nspec:\n  containers:\n  - {name: app, image: busybox, \
             imagePullPolicy: IfNotPresent, command: [sh, -c, 'exit 3']}\n",
        );
        let state = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        cluster.wait_for(&["get", "pod", "crash", "-o", state], "CrashLoopBackOff");
        let status = ".status.containerStatuses[0]";
        let last = format!("{status}.lastState.terminated.exitCode");
        assert_eq!(member(&cluster, "pod/crash", &last), "3");
        let restarts: u32 = member(&cluster, "pod/crash", &format!("{status}.restartCount")).parse().unwrap();
        assert!(restarts >= 1, "{restarts}");
    });
}

#[test]
fn cp_05_a_missing_pod_is_replaced() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(DEPLOYMENT);
        let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
        cluster.wait_for(&ready, "3");
        let pods = member(&cluster, "pods", ".items[*].metadata.name");
        let first = pods.split(' ').next().expect("a pod");
        cluster.kubectl(&["delete", "pod", first]).ok();
        cluster.wait_for(&ready, "3");
        assert!(!member(&cluster, "pods", ".items[*].metadata.name").contains(first));
    });
}

#[test]
fn pods_outlive_the_server() {
    isolated(|| {
        let mut cluster = cluster();
        cluster.apply(&sleeper("steady", &["app"], ""));
        cluster.wait_pod("steady");
        let inside = exec(
            &cluster,
            "steady",
            "app",
            &["sh", "-c", "echo kept > /tmp/mark; readlink /proc/self/ns/pid"],
        );
        let id = member(&cluster, "pod/steady", ".status.containerStatuses[0].containerID");
        cluster.crash_and_restart();
        cluster.wait_pod("steady");
        let again =
            exec(&cluster, "steady", "app", &["sh", "-c", "cat /tmp/mark; readlink /proc/self/ns/pid"]);
        assert_eq!(again, format!("kept\n{}", inside.lines().last().unwrap_or_default()));
        assert_eq!(member(&cluster, "pod/steady", ".status.containerStatuses[0].containerID"), id);
        assert_eq!(member(&cluster, "pod/steady", ".status.containerStatuses[0].restartCount"), "0");
    });
}
