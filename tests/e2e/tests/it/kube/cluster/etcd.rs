//! Row CP-02: several servers on Debian's etcd, one of which leads; members and servers that die.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use testkit::kube::KubeServer;
use testkit::registry::free_port;
use testkit::{TempDir, run, wait_until};

/// Members of an etcd, on loopback; killed on drop.
pub(super) struct Etcd {
    home: TempDir,
    members: Vec<Child>,
    ports: Vec<(u16, u16)>,
}

impl Etcd {
    pub(super) fn start(members: usize) -> Self {
        let ports: Vec<(u16, u16)> = (0..members).map(|_| (free_port(), free_port())).collect();
        let mut etcd = Self { home: TempDir::new(), members: Vec::new(), ports };
        etcd.members = (0..members).map(|at| etcd.launch(at)).collect();
        until("etcd", || etcd.all(0).contains("\"header\""));
        etcd
    }

    fn launch(&self, at: usize) -> Child {
        let peers =
            self.ports.iter().enumerate().map(|(at, (_, peer))| format!("m{at}=http://127.0.0.1:{peer}"));
        let peers: Vec<String> = peers.collect();
        let (client, peer) = self.ports[at];
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command.args([
            "--name",
            &format!("m{at}"),
            "--initial-cluster",
            &peers.join(","),
            "--log-level",
            "error",
        ]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.arg("--data-dir").arg(self.home.join(format!("data{at}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcd")
    }

    fn kill(&mut self, at: usize) {
        let _ = self.members[at].kill();
        let _ = self.members[at].wait();
    }

    pub(super) fn endpoints(&self) -> String {
        let urls: Vec<String> =
            self.ports.iter().map(|(client, _)| format!("http://127.0.0.1:{client}")).collect();
        urls.join(",")
    }

    /// All that a member holds by itself, whatever the others say.
    fn all(&self, at: usize) -> String {
        let url = format!("http://127.0.0.1:{}/v3/kv/range", self.ports[at].0);
        let everything = r#"{"key": "AA==", "range_end": "AA==", "serializable": true}"#;
        run(Command::new("curl").args(["--silent", "--max-time", "5", "--data", everything, &url])).stdout
    }

    /// What is under a key.
    pub(super) fn value(&self, key: &str) -> String {
        let url = format!("http://127.0.0.1:{}/v3/kv/range", self.ports[0].0);
        let asks = format!(r#"{{"key": "{}"}}"#, STANDARD.encode(key));
        let answer = run(Command::new("curl").args(["--silent", "--max-time", "5", "--data", &asks, &url]));
        let answer: Value = serde_json::from_str(answer.ok()).expect("JSON");
        let value = answer.pointer("/kvs/0/value").and_then(Value::as_str).expect("a value");
        String::from_utf8(STANDARD.decode(value).expect("base64")).expect("text")
    }

    /// [`Etcd::all`] without the head, which names the member.
    fn content(&self, at: usize) -> Option<String> {
        self.all(at).split_once("\"kvs\":").map(|(_, content)| content.to_owned())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|at| self.kill(at));
    }
}

#[track_caller]
pub(super) fn until(what: &str, done: impl FnMut() -> bool) {
    assert!(wait_until(Duration::from_secs(60), done), "waited in vain for {what}");
}

/// A server on this etcd: those who share a store, and its token, are one cluster.
pub(super) fn server(etcd: &Etcd) -> KubeServer {
    KubeServer::start_with(&["--datastore", &etcd.endpoints(), "--token", TOKEN])
}

/// The servers' token.
pub(super) const TOKEN: &str = "a-token-that-all-servers-have";

fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      containers:\n      - {{name: app, image: registry.example/app:1}}\n"
    )
}

/// Creates a Deployment and waits for its pods, which whoever leads makes.
pub(super) fn loops_work(server: &KubeServer, name: &str) {
    let file = server.home().join(format!("{name}.yaml"));
    std::fs::write(&file, deployment(name)).unwrap();
    // While etcd's members choose a leader a write is refused with 503, which says so; it is asked again.
    until("the write", || server.kubectl(&["apply", "-f", &file.to_string_lossy()]).code == 0);
    let label = format!("app={name}");
    let pods = || server.kubectl(&["get", "pods", "-l", &label, "-o", "name"]).stdout;
    until("two pods", || pods().lines().count() == 2);
}

pub(super) fn leader(server: &KubeServer) -> String {
    let path = "jsonpath={.spec.holderIdentity}";
    let lease = ["get", "lease", "-n", "kube-system", "kube-controller-manager", "-o", path];
    server.kubectl(&lease).stdout
}

#[test]
fn cp_02_members_and_servers_die_and_the_cluster_goes_on() {
    let mut etcd = Etcd::start(3);
    let first = server(&etcd);
    until("a leader", || !leader(&first).is_empty());
    let leads = leader(&first);
    let second = server(&etcd);
    loops_work(&second, "before");
    assert_eq!(leader(&second), leads, "the second one waits");

    // A member dies: reads and writes go on, by both servers; it comes back and holds what the others hold.
    etcd.kill(1);
    loops_work(&first, "without-a-member");
    second.kubectl(&["create", "configmap", "meanwhile", "--from-literal=a=b"]).ok();
    let seen = first.kubectl(&["get", "configmap", "meanwhile", "-o", "jsonpath={.data.a}"]);
    assert_eq!(seen.ok(), "b");
    etcd.members[1] = etcd.launch(1);

    // The leading server dies: the other one leads.
    drop(first);
    until("another leader", || leader(&second) != leads);
    loops_work(&second, "after");
    let listed = second.kubectl(&["get", "deployments", "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(listed.ok(), "after before without-a-member");
    drop(second);
    until("equal members", || {
        let all: Vec<_> = (0..3).map(|at| etcd.content(at)).collect();
        all[0].is_some() && all.iter().all(|content| *content == all[0])
    });
}
