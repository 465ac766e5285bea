//! The conformance specs that need nodes, on real ones: two, with engines, pod network, service proxy and DNS.
//!
//! All tests share one [`cluster`], which lives as long as any of them holds it. Its processes are in namespaces of
//! their own, kept by [`keeper`]; tests reach them through sockets made in its network.

mod aggregator;
mod auth;
mod containers;
mod conversion;
pub(crate) mod defined;
mod hooks;
mod init;
mod kubectl;
mod mounts;
mod network;
mod peer;
mod pods;
mod probes;
mod replicas;
mod resize;
mod scheduling;
mod security;
mod served;
mod storage;
mod taints;
mod variables;
mod webhooks;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::images::busybox_tar;
use testkit::kube::clients;
use testkit::{Output, Strake, isolated, run, run_inside, wait_until};

use crate::api::Api;
use crate::rig::{Rig, unique};

/// What a pod may take to get anywhere on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the API answers inside the keeper's network.
const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 77, 1)), 6443);
/// What the keeper says before it names the cluster's files.
const KEPT: &str = "keeper: ";
/// The file in the cluster's home that the keeper writes its messages to.
const MESSAGES: &str = "messages";

/// An image of busybox that runs `echo "the entrypoint" "the arguments"`.
pub(crate) const ENTRYPOINT: &str = "entrypoint";

static SHARED: Mutex<Weak<Kept>> = Mutex::new(Weak::new());
/// Most tests run beside each other; one that disturbs the nodes runs alone.
static TURN: RwLock<()> = RwLock::new(());

/// The nodes' cluster, as long as one of its tests runs.
struct Kept {
    rig: Arc<Rig>,
    keeper: Mutex<Keeper>,
    network: File,
    network_path: String,
    home: PathBuf,
    kubeconfig: PathBuf,
}

/// The process that keeps the cluster until its input ends.
struct Keeper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

enum Turn {
    WithOthers(#[allow(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[allow(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

/// A test's hold on the cluster. The namespaces that it made are deleted at its end.
pub(crate) struct Shared {
    api: Api,
    namespaces: Mutex<Vec<String>>,
    kept: Arc<Kept>,
    _turn: Turn,
}

impl std::ops::Deref for Shared {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The shared cluster. A test asks once.
pub(crate) fn cluster() -> Shared {
    Shared::with(Turn::WithOthers(TURN.read().unwrap_or_else(PoisonError::into_inner)))
}

/// The shared cluster while no other test uses it, for specs that change nodes or fill them.
pub(crate) fn cluster_alone() -> Shared {
    Shared::with(Turn::Alone(TURN.write().unwrap_or_else(PoisonError::into_inner)))
}

impl Shared {
    /// The nodes' names.
    pub(crate) const NODES: [&str; 2] = ["n1", "n2"];

    fn with(turn: Turn) -> Self {
        let mut shared = lock(&SHARED);
        let kept = shared.upgrade().unwrap_or_else(|| Arc::new(Kept::start()));
        *shared = Arc::downgrade(&kept);
        Self { api: Api::of(Arc::clone(&kept.rig)), namespaces: Mutex::default(), kept, _turn: turn }
    }

    /// A namespace of the test's own, which ends with it.
    pub(crate) fn namespace(&self) -> String {
        let name = self.api.namespace();
        lock(&self.namespaces).push(name.clone());
        name
    }

    /// The client of the API below, for requests with codes and headers of their own.
    pub(crate) fn rig(&self) -> &Rig {
        &self.kept.rig
    }

    /// Waits until what is read there is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        let met = wait_until(PATIENCE, || {
            let answer = self.kept.rig.get(path);
            found = answer.json();
            answer.code == 200 && fits(&found)
        });
        assert!(met, "{path} never was as wanted\n{}", self.report(&found));
        found
    }

    /// Waits until there is no such object.
    #[track_caller]
    pub(crate) fn gone(&self, path: &str) {
        let met = wait_until(PATIENCE, || self.kept.rig.get(path).code == 404);
        assert!(met, "{path} never went\n{}", self.report(&self.get(path)));
    }

    /// Creates a pod; the object and its path.
    #[track_caller]
    pub(crate) fn create(&self, namespace: &str, pod: &Value) -> (Value, String) {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let made = self.post(&pods, pod);
        let path = format!("{pods}/{}", made["metadata"]["name"].as_str().unwrap());
        (made, path)
    }

    /// Creates a pod and waits until it has succeeded or failed.
    #[track_caller]
    pub(crate) fn run_to_end(&self, namespace: &str, pod: &Value) -> Value {
        let (_, path) = self.create(namespace, pod);
        self.until(&path, |pod| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))
    }

    /// Creates a pod and waits until it is ready.
    #[track_caller]
    pub(crate) fn running(&self, namespace: &str, pod: &Value) -> Value {
        let (_, path) = self.create(namespace, pod);
        self.until(&path, is_ready)
    }

    /// What a container has written.
    #[track_caller]
    pub(crate) fn logs(&self, namespace: &str, pod: &str, container: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}");
        let answer = self.kept.rig.get(&path);
        assert!(answer.code == 200, "{path}: {} {}", answer.code, answer.text());
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// Runs a command in a container.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Output {
        self.kubectl(&[&["-n", namespace, "exec", pod, "-c", container, "--"], command].concat())
    }

    /// Runs kubectl as the administrator.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Output {
        run(&mut self.kubectl_command(args))
    }

    /// kubectl as the administrator, not yet started.
    pub(crate) fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.kept.network_path)).arg(clients().kubectl).args(args);
        command.env("KUBECONFIG", &self.kept.kubeconfig).env("HOME", &self.kept.home);
        command.current_dir(&self.kept.home).stdin(Stdio::null());
        command
    }

    /// Does something in the first node's network, from where pods, services and node ports are reached.
    pub(crate) fn in_cluster_net<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        run_inside(&self.kept.network, work)
    }

    /// What a WebSocket of the API brings, message by message.
    pub(crate) fn websocket(&self, path: &str, protocol: &str) -> Vec<bytes::Bytes> {
        let connection = self.in_cluster_net(|| TcpStream::connect(SERVER).unwrap());
        self.kept.rig.websocket(connection, path, protocol)
    }

    /// A node's address, `None` for a node that is not there.
    pub(crate) fn node_address(&self, node: &str) -> Option<String> {
        let at = Self::NODES.iter().position(|name| *name == node)?;
        Some(format!("192.168.77.{}", at + 1))
    }

    /// What is known of an object that is not as it should be: itself, the events beside it, the nodes' messages.
    fn report(&self, object: &Value) -> String {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        let events = self.kept.rig.get(&format!("/api/v1/namespaces/{namespace}/events")).json();
        let text = |event: &Value| {
            let of = &event["involvedObject"];
            format!("{} {} {}: {}\n", of["kind"], of["name"], event["reason"], event["message"])
        };
        let events: String = events["items"].as_array().into_iter().flatten().map(text).collect();
        format!("{object:#}\n--- events\n{events}{}", self.kept.messages())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let now = json!({ "gracePeriodSeconds": 0 });
        for name in lock(&self.namespaces).drain(..) {
            // What a test leaves running would weigh on the next ones.
            drop(self.kept.rig.delete_with(&format!("/api/v1/namespaces/{name}/pods"), &now));
            drop(self.kept.rig.delete(&format!("/api/v1/namespaces/{name}")));
        }
    }
}

impl Kept {
    fn start() -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"])
            .args(["--propagation", "private", "--mount-proc", "--"])
            .arg(exe)
            .args(["nodes::keeper", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(testkit::ISOLATED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut keeper = Keeper { child, input, output: BufReader::new(output) };
        let said = keeper.read_to(KEPT);
        let (home, kubeconfig) = said.split_once(' ').unwrap();
        let network_path = format!("/proc/{}/ns/net", keeper.child.id());
        let network = File::open(&network_path).unwrap();
        let connect = || run_inside(&network, || TcpStream::connect(SERVER).unwrap());
        let rig = Arc::new(Rig::of(Path::new(kubeconfig), SERVER, connect));
        let (home, kubeconfig) = (PathBuf::from(home), PathBuf::from(kubeconfig));
        Self { rig, keeper: Mutex::new(keeper), network, network_path, home, kubeconfig }
    }

    /// The end of what server and agents have said.
    fn messages(&self) -> String {
        let mut keeper = lock(&self.keeper);
        let asked = keeper.input.as_mut().is_some_and(|input| input.write_all(b"\n").is_ok());
        if !asked {
            return "the keeper has ended\n".to_owned();
        }
        keeper.read_to(KEPT);
        let text = std::fs::read_to_string(self.home.join(MESSAGES)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(200)..].join("\n")
    }
}

impl Keeper {
    /// Reads a line with `mark` in it; what stands behind that.
    fn read_to(&mut self, mark: &str) -> String {
        let mut before = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line);
            assert!(read.is_ok_and(|count| count > 0), "the keeper of the cluster has ended:\n{before}");
            if let Some((_, rest)) = line.trim_end().split_once(mark) {
                return rest.to_owned();
            }
            before += &line;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// The cluster's life, run by [`Kept::start`] in namespaces of its own.
#[test]
#[ignore = "a part of other tests, which start it"]
fn keeper() {
    isolated(|| {
        let host = || {
            let strake = Strake::new().with_busybox();
            peer::import(&strake);
            let changes = ["ENTRYPOINT [\"/bin/echo\", \"the entrypoint\"]", "CMD [\"the arguments\"]"];
            let rootfs = busybox_tar();
            let import = ["import", "--change", changes[0], "--change", changes[1]];
            strake.ok(&[&import[..], &[&rootfs.to_string_lossy(), ENTRYPOINT]].concat());
            strake
        };
        let mut cluster = Cluster::start(host());
        cluster.join(host(), &[]);
        println!("{KEPT}{} {}", cluster.home().display(), cluster.kubeconfig().display());
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            std::fs::write(cluster.home().join(MESSAGES), cluster.messages()).unwrap();
            println!("{KEPT}written");
        }
    });
}

#[test]
fn the_cluster_is_reached_in_every_way() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = shell_pod("mkdir /srv; hostname > /srv/index.html; exec httpd -f -p 80 -h /srv");
    let pod = cluster.running(&namespace, &pod);
    let said = cluster.exec(&namespace, name(&pod), "main", &["wget", "-q", "-O", "-", "http://127.0.0.1/"]);
    assert_eq!(said.ok(), name(&pod));
    let address = SocketAddr::new(pod["status"]["podIP"].as_str().unwrap().parse().unwrap(), 80);
    cluster.in_cluster_net(|| TcpStream::connect(address).unwrap());
    assert!(cluster.kubectl(&["get", "nodes", "-o", "name"]).ok().contains("node/n2"));
    assert!(cluster.rig().get("/api/v1/nodes/n3").code == 404);
    assert!(cluster.report(&pod).contains(" ready in "));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pod of one container `main` with the busybox image that runs a shell line and is not started again. Tests
/// change what they are about.
pub(crate) fn shell_pod(line: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": unique("pod") },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", line],
            }],
        },
    })
}

/// A pod that does nothing until it is told to end.
pub(crate) fn idle_pod() -> Value {
    shell_pod("trap exit TERM; sleep 3600 & wait")
}

/// An object's name.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// Whether the condition `kind` of an object is `True`.
pub(crate) fn holds(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|found| found["type"] == kind && found["status"] == "True")
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    holds(pod, "Ready")
}
