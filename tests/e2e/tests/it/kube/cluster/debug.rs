//! `kubectl debug` in its three ways: into a pod, into a copy of it, onto a node.

use testkit::cluster::Cluster;
use testkit::{isolated, wait_for};

use super::{cluster, member};

/// A container with nothing to look around with.
fn with_bare_pod() -> Cluster {
    let cluster = cluster();
    cluster.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: bare}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - {name: app, image: strake.local/tools, imagePullPolicy: IfNotPresent, \
         command: [/whoami]}\n",
    );
    cluster.wait_pod("bare");
    cluster
}

/// `kubectl debug ARGS` with a shell that runs `script`; what kubectl says.
fn debug(cluster: &Cluster, args: &[&str], script: &str) -> String {
    let shell = ["--", "sh", "-c", script];
    let said = cluster.kubectl(&[&["debug"], args, &shell].concat());
    format!("{}{}", said.ok(), said.stderr)
}

/// What the debugger's container says, to its last word.
fn logs(cluster: &Cluster, pod: &str, container: &str) -> String {
    wait_for("what the debugger says", || {
        let logs = cluster.kubectl(&["logs", pod, "-c", container]);
        (logs.code == 0 && logs.stdout.contains("done")).then(|| logs.stdout.clone())
    })
}

#[test]
fn an_ephemeral_container_looks_into_a_pod() {
    isolated(|| {
        let cluster = with_bare_pod();
        // It sees the processes of the container that it is about, and the pod's network.
        let look = "cat /proc/*/cmdline | tr '\\0' ' '; ip -4 address show eth0; hostname; echo done";
        let image = ["--image=busybox", "--image-pull-policy=IfNotPresent"];
        debug(&cluster, &[&["bare", "--target=app", "--container=look"][..], &image].concat(), look);
        let seen = logs(&cluster, "bare", "look");
        let address = member(&cluster, "pod/bare", ".status.podIP");
        assert!(seen.contains("/whoami") && seen.contains(&address) && seen.contains("bare"), "{seen}");
        assert_eq!(member(&cluster, "pod/bare", ".status.containerStatuses[0].restartCount"), "0");
        let ended = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}";
        cluster.wait_for(&["get", "pod", "bare", "-o", ended], "Completed");
    });
}

#[test]
fn a_copy_of_a_pod_has_another_image() {
    isolated(|| {
        let cluster = with_bare_pod();
        let copies = ["bare", "--copy-to=copy", "--container=app", "--set-image=app=busybox"];
        debug(&cluster, &copies, "hostname; echo done; sleep 3600");
        assert!(logs(&cluster, "copy", "app").starts_with("copy\n"));
        cluster.wait_pod("copy");
        assert_eq!(member(&cluster, "pod/bare", ".status.containerStatuses[0].restartCount"), "0");
    });
}

#[test]
fn a_node_is_looked_at_with_its_disk_and_its_processes() {
    isolated(|| {
        let cluster = cluster();
        let look = "test -d /host/proc && chroot /host /bin/sh -c 'echo chrooted'; readlink /proc/1/ns/net; echo done";
        let image = ["--image=busybox", "--image-pull-policy=IfNotPresent"];
        let said = debug(&cluster, &[&["node/n1", "--profile=sysadmin"][..], &image].concat(), look);
        let pod = said.split_whitespace().find(|word| word.starts_with("node-debugger-")).expect("a pod");
        let seen = logs(&cluster, pod, "debugger");
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(seen.starts_with("chrooted\n"), "{seen}");
        assert!(seen.contains(&*own.to_string_lossy()), "{seen}");
    });
}
