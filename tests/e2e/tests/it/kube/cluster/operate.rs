//! What operators do to nodes and pods: cordon, drain, rollouts and their undoing, waiting.

use std::time::Duration;

use testkit::{Output, isolated, wait_for};

use super::{busybox, cluster, member, sleeper};
use testkit::cluster::Cluster;

fn web(replicas: u32, word: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: app, image: busybox, \
         imagePullPolicy: IfNotPresent, env: [{{name: WORD, value: {word}}}], command: [sleep, '3600']}}\n"
    )
}

/// The nodes that pods of `web` run on and are to stay on, each named once.
fn nodes_of_web(cluster: &Cluster) -> Vec<String> {
    let columns = "jsonpath={range .items[*]}{.spec.nodeName} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
    let pods = cluster.kubectl(&["get", "pods", "-l", "app=web", "-o", columns]);
    let staying = pods.ok().lines().map(str::trim).filter(|line| !line.contains(' '));
    let mut nodes: Vec<String> = staying.map(str::to_owned).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// A command that succeeds and says so on its standard output.
#[track_caller]
fn prints(output: &Output, part: &str) {
    assert!(output.ok().contains(part), "{output:?}");
}

#[test]
fn cordon_and_drain_empty_a_node_and_respect_budgets() {
    isolated(|| {
        let mut cluster = cluster();
        cluster.join(busybox(), &[]);
        cluster.apply(&web(4, "one"));
        let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
        cluster.wait_for(&ready, "4");
        assert_eq!(nodes_of_web(&cluster), ["n1", "n2"]);
        // A pod of nobody stands in the way until it is forced, one of a DaemonSet until it is left out.
        cluster.apply(&sleeper("alone", &["app"], "nodeName: n2"));
        cluster.wait_pod("alone");
        prints(&cluster.kubectl(&["cordon", "n2"]), "node/n2 cordoned");
        assert!(cluster.kubectl(&["get", "node", "n2"]).ok().contains("Ready,SchedulingDisabled"));
        cluster.kubectl(&["drain", "n2"]).says("cannot delete Pods that declare no controller");
        // No pod may go while the budget wants all four.
        cluster.kubectl(&["create", "pdb", "web", "--selector=app=web", "--min-available=4"]).ok();
        cluster.wait_for(&["get", "pdb", "web", "-o", "jsonpath={.status.currentHealthy}"], "4");
        let refused = cluster.kubectl(&["drain", "n2", "--force", "--timeout=3s"]);
        assert_ne!(refused.code, 0);
        refused.says("Cannot evict pod as it would violate the pod's disruption budget.");
        cluster.kubectl(&["patch", "pdb", "web", "-p", r#"{"spec":{"minAvailable":3}}"#]).ok();
        let drained = cluster.kubectl(&["drain", "n2", "--force", "--timeout=120s"]);
        assert!(drained.ok().contains("node/n2 drained"), "{drained:?}");
        assert_eq!(nodes_of_web(&cluster), ["n1"]);
        cluster.wait_for(&ready, "4");
        prints(&cluster.kubectl(&["uncordon", "n2"]), "node/n2 uncordoned");
        cluster.kubectl(&["scale", "deployment", "web", "--replicas=8"]).ok();
        cluster.wait_for(&ready, "8");
        assert_eq!(nodes_of_web(&cluster), ["n1", "n2"]);
    });
}

#[test]
fn a_rollout_is_watched_paused_undone_and_restarted() {
    isolated(|| {
        let cluster = cluster();
        let rollout = |args: &[&str]| cluster.kubectl(&[&["rollout"], args].concat());
        let word = || {
            let pods = cluster.kubectl(&["exec", "deployment/web", "--", "sh", "-c", "echo $WORD"]);
            pods.ok().to_owned()
        };
        let done = || rollout(&["status", "deployment/web", "--timeout=120s"]).ok().to_owned();
        cluster.apply(&web(3, "one"));
        assert!(done().ends_with("deployment \"web\" successfully rolled out"));
        cluster.apply(&web(3, "two"));
        done();
        assert_eq!(word(), "two");
        let history = rollout(&["history", "deployment/web"]);
        assert_eq!(
            history.ok().lines().filter(|line| line.starts_with(['1', '2'])).count(),
            2,
            "{history:?}"
        );
        assert!(rollout(&["history", "deployment/web", "--revision=1"]).ok().contains("WORD:\tone"));
        prints(&rollout(&["undo", "deployment/web"]), "deployment.apps/web rolled back");
        done();
        assert_eq!(word(), "one");
        assert_eq!(
            member(&cluster, "deployment/web", r".metadata.annotations.deployment\.kubernetes\.io/revision"),
            "3"
        );
        rollout(&["pause", "deployment/web"]).ok();
        cluster.kubectl(&["set", "env", "deployment/web", "WORD=three"]).ok();
        assert_eq!(word(), "one");
        rollout(&["undo", "deployment/web"]).says("cannot rollback a paused deployment");
        rollout(&["resume", "deployment/web"]).ok();
        done();
        assert_eq!(word(), "three");
        let before = member(&cluster, "pods", ".items[*].metadata.name");
        rollout(&["restart", "deployment/web"]).ok();
        done();
        wait_for("the pods of before to be gone", || {
            let now = member(&cluster, "pods", ".items[*].metadata.name");
            let left = before.split(' ').any(|pod| now.contains(pod));
            (!left).then_some(())
        });
    });
}

#[test]
fn what_is_waited_for_comes_or_is_said_to_be_late() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("one", &["app"], ""));
        prints(
            &cluster.kubectl(&["wait", "pod/one", "--for=condition=Ready", "--timeout=60s"]),
            "condition met",
        );
        cluster.kubectl(&["wait", "pod/one", "--for=delete", "--timeout=1s"]).says("timed out waiting");
        let waits = cluster.kubectl_command(&["wait", "pod/one", "--for=delete", "--timeout=60s"]);
        let waits = std::thread::spawn(move || testkit::run(&mut { waits }));
        cluster.kubectl(&["delete", "pod", "one", "--wait=false"]).ok();
        assert!(testkit::wait_until(Duration::from_secs(60), || waits.is_finished()));
        assert_eq!(waits.join().unwrap().code, 0);
    });
}
