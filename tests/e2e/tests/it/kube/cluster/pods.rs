//! Rows PO-01 to PO-07: what a pod is.

use testkit::{isolated, wait_for};

use super::{cluster, exec, member, sleeper};

const NAMESPACES: &[&str] = &["net", "ipc", "uts", "mnt", "pid"];

#[test]
fn po_01_a_pod_is_several_containers() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
             volumes: [{name: logs, emptyDir: {}}]\n  containers:\n  \
             - {name: app, image: busybox, imagePullPolicy: IfNotPresent, \
                command: [sh, -c, 'echo served > /logs/access; sleep 3600'], \
                volumeMounts: [{name: logs, mountPath: /logs}]}\n  \
             - {name: logger, image: busybox, imagePullPolicy: IfNotPresent, \
                command: [sh, -c, 'until test -s /logs/access; do sleep 0.1; done; cat /logs/access; sleep 3600'], \
                volumeMounts: [{name: logs, mountPath: /logs}]}\n",
        );
        cluster.wait_pod("web");
        cluster.wait_for(&["logs", "web", "-c", "logger"], "served");
        assert_eq!(member(&cluster, "pod/web", ".status.containerStatuses[*].name"), "app logger");
    });
}

#[test]
fn po_02_pause_is_the_first_process() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("one", &["app"], "shareProcessNamespace: true"));
        cluster.wait_pod("one");
        let first = exec(&cluster, "one", "app", &["cat", "/proc/1/status"]);
        assert!(first.starts_with("Name:\tpause"), "{first}");
        let resident = first.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kib < 1024, "pause has {kib} KiB");
    });
}

#[test]
fn po_03_containers_share_net_ipc_and_uts_only() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("pair", &["a", "b"], ""));
        cluster.wait_pod("pair");
        let of = |container: &str, kind: &str| {
            exec(&cluster, "pair", container, &["readlink", &format!("/proc/self/ns/{kind}")])
        };
        let shared: Vec<_> = NAMESPACES.iter().filter(|kind| of("a", kind) == of("b", kind)).collect();
        assert_eq!(shared, [&"net", &"ipc", &"uts"]);
    });
}

#[test]
fn po_04_and_05_containers_talk_over_localhost_and_shared_memory() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("pair", &["a", "b"], ""));
        cluster.wait_pod("pair");
        exec(
            &cluster,
            "pair",
            "a",
            &["sh", "-c", "mkdir /tmp/w; echo here > /tmp/w/index.html; httpd -p 127.0.0.1:81 -h /tmp/w"],
        );
        let ask = r"printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc 127.0.0.1 81";
        let answer = exec(&cluster, "pair", "b", &["sh", "-c", ask]);
        assert!(answer.ends_with("here"), "{answer}");
        exec(&cluster, "pair", "a", &["sh", "-c", "echo shared > /dev/shm/word"]);
        assert_eq!(exec(&cluster, "pair", "b", &["cat", "/dev/shm/word"]), "shared");
    });
}

#[test]
fn po_06_a_pod_survives_its_app() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("web", &["app", "side"], ""));
        cluster.wait_pod("web");
        let seen = || {
            let net = exec(&cluster, "web", "side", &["readlink", "/proc/self/ns/net"]);
            (member(&cluster, "pod/web", ".status.podIP"), net)
        };
        let before = seen();
        // The first process of a namespace takes no signals from within that it does not handle.
        let container =
            member(&cluster, "pod/web", ".status.containerStatuses[?(@.name==\"app\")].containerID");
        let id = container.rsplit('/').next().expect("an id");
        cluster.strake().ok(&["kill", id]);
        wait_for("a restart", || {
            let count =
                member(&cluster, "pod/web", ".status.containerStatuses[?(@.name==\"app\")].restartCount");
            (count == "1").then_some(())
        });
        cluster.wait_pod("web");
        assert_eq!(seen(), before);
    });
}

#[test]
fn po_07_a_pod_looks_like_a_small_machine() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("box", &["a", "b"], ""));
        cluster.wait_pod("box");
        let address = member(&cluster, "pod/box", ".status.podIP");
        assert!(address.starts_with("10.42."), "{address}");
        for container in ["a", "b"] {
            assert_eq!(exec(&cluster, "box", container, &["hostname"]), "box");
            let links = exec(&cluster, "box", container, &["ip", "-4", "address", "show", "eth0"]);
            assert!(links.contains(&format!("inet {address}/")), "{links}");
        }
    });
}
