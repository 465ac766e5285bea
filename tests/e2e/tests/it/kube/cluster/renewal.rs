//! A node's certificates are renewed while it runs: nothing is restarted, nobody is cut off.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::cluster::Cluster;
use testkit::{isolated, run, wait_until};

use super::{busybox, exec, sleeper};

/// So long do certificates live here: long enough to be renewed on a busy machine.
const LIFE: &str = "40s";

#[track_caller]
fn until(what: &str, cluster: &Cluster, done: impl FnMut() -> bool) {
    assert!(wait_until(Duration::from_secs(120), done), "{what}\n{}{}", cluster.report(), cluster.messages());
}

/// What a kubelet's server shows.
fn shown(node: &str) -> String {
    let connect = format!(
        "openssl s_client -connect {node}:10250 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    run(Command::new("sh").args(["-c", &connect])).stdout
}

#[test]
fn a_running_node_renews_its_certificates() {
    isolated(|| {
        let mut cluster = Cluster::start_with(busybox(), &["--cluster-signing-duration", LIFE]);
        let node = cluster.join(busybox(), &[]);
        let (pid, file) = (node.pid(), node.strake().root().join("agent/pki/client.pem"));
        let client = || fs::read_to_string(&file).expect("the node's certificate");
        let servers = || [shown("192.168.77.1"), shown("192.168.77.2")];
        let (first, first_servers) = (client(), servers());
        assert!(first_servers.iter().all(|serial| serial.starts_with("serial=")), "{first_servers:?}");
        let on_node = |name: &str| sleeper(name, &["main"], "nodeName: n2");
        cluster.apply(&on_node("before"));
        cluster.wait_pod("before");
        // A stream that lasts longer than the certificates that it was opened with.
        let mut follow = cluster.kubectl_command(&["exec", "before", "--", "sleep", "3600"]);
        let mut follow = follow.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("kubectl");

        until("another certificate for the client", &cluster, || client() != first);
        until("other certificates for the servers", &cluster, || {
            servers().iter().zip(&first_servers).all(|(now, then)| now.starts_with("serial=") && now != then)
        });
        let scratch = testkit::TempDir::new();
        fs::write(scratch.join("first.pem"), &first).expect("scratch file");
        until("the first certificate's end", &cluster, || {
            let check = ["x509", "-checkend", "0", "-noout", "-in"];
            run(Command::new("openssl").args(check).arg(scratch.join("first.pem"))).code == 1
        });

        // With the first certificate nothing of this could be.
        cluster.apply(&on_node("after"));
        cluster.wait_pod("after");
        assert_eq!(exec(&cluster, "after", "main", &["echo", "reached"]).trim(), "reached");
        assert!(matches!(follow.try_wait(), Ok(None)), "the stream was cut off");
        let _ = follow.kill();
        let _ = follow.wait();
        let node = &cluster.nodes()[0];
        assert_eq!(node.pid(), pid);
        assert!(!node.messages().contains("renew the"), "{}", node.messages());
    });
}
