//! Rows LC-02, EN-09: a machine loses its power, and what ran there runs elsewhere, unattended.

use testkit::cluster::Cluster;
use testkit::isolated;

use super::{busybox, member};

/// Pods that leave a silent node at once.
const IMPATIENT: &str = "tolerations:\n      \
    - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}\n      \
    - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}";

/// A server that misses a silent node soon, and a node beside its own.
fn pair() -> Cluster {
    let mut cluster = Cluster::start_with(busybox(), &["--node-monitor-grace-period", "15s"]);
    cluster.join(busybox(), &[]);
    cluster
}

fn deployment(name: &str, replicas: u32, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 1\n      {IMPATIENT}\n      {more}\n      containers:\n      \
         - {{name: app, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, '3600']}}\n---\n"
    )
}

/// How many pods of the label are ready on the node.
fn ready_on(cluster: &Cluster, label: &str, node: &str) -> usize {
    let columns = "jsonpath={range .items[*]}{.spec.nodeName} \
        {.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}{end}";
    let pods = cluster.kubectl(&["get", "pods", "-l", label, "-o", columns]);
    pods.ok().lines().filter(|line| *line == format!("{node} True")).count()
}

#[test]
fn lc_02_pods_of_a_node_without_power_are_replaced_on_another() {
    isolated(|| {
        let mut cluster = pair();
        cluster.apply(&deployment("web", 4, ""));
        let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
        cluster.wait_for(&ready, "4");
        let lost = ready_on(&cluster, "app=web", "n2");
        assert!((1..4).contains(&lost), "{lost} of 4 are on n2");
        let before = std::time::Instant::now();
        cluster.nodes().remove(0).power_off();
        let condition = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        cluster.wait_for(&["get", "node", "n2", "-o", condition], "Unknown");
        let moved = testkit::wait_until(std::time::Duration::from_secs(120), || {
            ready_on(&cluster, "app=web", "n1") == 4
        });
        assert!(moved, "{}", cluster.report());
        println!("{lost} of 4 pods were replaced {:?} after the power was lost", before.elapsed());
        cluster.wait_for(&ready, "4");
        let taints = member(&cluster, "node/n2", ".spec.taints[*].key");
        assert!(taints.contains("node.kubernetes.io/unreachable"), "{taints}");
        // Nobody knows whether the machine still runs them, until the node itself is given up.
        let leaving = "jsonpath={.items[?(@.spec.nodeName==\"n2\")].metadata.deletionTimestamp}";
        let leaving = cluster.kubectl(&["get", "pods", "-o", leaving]);
        assert_eq!(leaving.ok().split(' ').count(), lost, "{leaving:?}");
        cluster.kubectl(&["delete", "node", "n2"]).ok();
        let elsewhere = "jsonpath={.items[?(@.spec.nodeName==\"n2\")].metadata.name}";
        cluster.wait_for(&["get", "pods", "-o", elsewhere], "");
    });
}

#[test]
fn en_09_the_same_container_goes_on_when_its_node_is_killed() {
    isolated(|| {
        let mut cluster = pair();
        let prefers = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: \
            [{weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, \
            values: [n2]}]}}]}}";
        cluster.apply(&deployment("one", 1, prefers));
        cluster.wait_for(&["get", "deployment", "one", "-o", "jsonpath={.status.readyReplicas}"], "1");
        assert_eq!(ready_on(&cluster, "app=one", "n2"), 1);
        let before = spec_on(&cluster, "n2");
        // What the engine alone runs there ends with the machine, and stays ended.
        let mut node = cluster.nodes().remove(0);
        let alone = node.strake().ok(&["run", "-d", "busybox", "sleep", "3600"]);
        node.power_off();
        assert_eq!(node.strake().ok(&["inspect", "--format", "{{.State.Running}}", &alone]), "false");
        let moved = testkit::wait_until(std::time::Duration::from_secs(120), || {
            ready_on(&cluster, "app=one", "n1") == 1
        });
        assert!(moved, "{}", cluster.report());
        assert_eq!(spec_on(&cluster, "n1"), before);
    });
}

/// The container on the node, as its pod says it.
fn spec_on(cluster: &Cluster, node: &str) -> String {
    let path = format!(".items[?(@.spec.nodeName==\"{node}\")].spec.containers[0]");
    let found = member(cluster, "pods", &path);
    // The name of its own token's mount is each pod's own.
    found.split("\"volumeMounts\"").next().expect("a container").to_owned()
}
