//! A cluster of a test's own: a server with its agent, and more nodes in namespaces beside it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::isolated::is_isolated;
use crate::kube::clients;
use crate::{CgroupSubtree, Output, Strake, TempDir, bin, run, wait_until};

/// How long starts may take on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
/// The net between the nodes; the server's machine is `.1`, the others follow.
const LAN: &str = "192.168.77.";

/// The disk of a machine that builds may be nearly full, which is not what tests are about.
const NEVER_EVICT: &[&str] = &["--eviction-hard", "memory.available<1Mi"];

/// `strake server` and the nodes that have joined it, for tests in [`isolated`](crate::isolated()):
/// all of it ends with the test's namespaces.
#[derive(Debug)]
pub struct Cluster {
    // In this order they go: who writes before what is written.
    nodes: Vec<Node>,
    server: Process,
    pods: CgroupSubtree,
    strake: Strake,
    extra: Vec<String>,
}

/// A node in a network namespace of its own.
#[derive(Debug)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    agent: Process,
    _pods: CgroupSubtree,
    strake: Strake,
    keeper: Child,
}

#[derive(Debug)]
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Cluster {
    /// One node named `n1`, ready, with the images of `strake`'s engine.
    ///
    /// # Panics
    /// When it does not come up; its messages are in the text.
    pub fn start(strake: Strake) -> Self {
        Self::start_with(strake, &[])
    }

    /// As [`Cluster::start`], with more options of `strake server`.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_with(strake: Strake, extra: &[&str]) -> Self {
        let cluster = Self::boot(strake, extra);
        cluster.wait_ready("n1");
        cluster
    }

    /// As [`Cluster::start_with`], as soon as the API answers: nobody has asked for the node yet.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn boot(strake: Strake, extra: &[&str]) -> Self {
        assert!(is_isolated(), "a cluster wants namespaces of its own");
        ip("link add lan type bridge");
        ip(&format!("address add {LAN}1/24 dev lan"));
        ip("link set lan up");
        // What a machine sends to a service is routed before it is translated.
        ip(&format!("route add default via {LAN}254"));
        let pods = CgroupSubtree::new("pods");
        let extra: Vec<String> = extra.iter().map(|&arg| arg.to_owned()).collect();
        let server = serve(&strake, &pods, &extra);
        Self { strake, pods, extra, server, nodes: Vec::new() }
    }

    /// Runs `kubectl ARGS` as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        run(&mut self.kubectl_command(args))
    }

    /// `kubectl ARGS`, not yet started.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        self.command(&clients().kubectl, args)
    }

    /// A client of the cluster as the administrator, not yet started.
    pub fn command(&self, client: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(client);
        command.args(args).current_dir(self.home()).env("KUBECONFIG", self.kubeconfig());
        command.env("HOME", self.home()).stdin(Stdio::null());
        command
    }

    /// `kubectl apply` of manifests.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn apply(&self, manifests: &str) {
        let scratch = TempDir::new();
        let file = scratch.join("manifests.yaml");
        fs::write(&file, manifests).expect("scratch file");
        self.kubectl(&["apply", "-f", &file.to_string_lossy()]).ok();
    }

    /// Waits until kubectl's answer to `args` is `expected`.
    ///
    /// # Panics
    /// When it never is; with the last answer, the events and the server's messages.
    #[track_caller]
    pub fn wait_for(&self, args: &[&str], expected: &str) {
        let mut last = String::new();
        let deadline = Instant::now() + PATIENCE;
        let mut done = false;
        while !done && Instant::now() < deadline {
            let output = self.kubectl(args);
            last = format!("{}{}", output.stdout.trim(), output.stderr);
            done = last == expected;
            if !done {
                // A client costs more than what it asks for.
                std::thread::park_timeout(Duration::from_millis(200));
            }
        }
        assert!(done, "{args:?}: {last:?} is not {expected:?}\n{}", self.report());
    }

    /// Waits until a pod runs and is ready.
    ///
    /// # Panics
    /// As [`Cluster::wait_for`].
    #[track_caller]
    pub fn wait_pod(&self, pod: &str) {
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        self.wait_for(&["get", "pod", pod, "-o", ready], "True");
    }

    /// What the cluster knows of itself, for a test that fails.
    pub fn report(&self) -> String {
        let wide = self.kubectl(&["get", "pods,nodes", "-A", "-o", "wide"]);
        let events = self.kubectl(&["get", "events", "-A", "--sort-by=.metadata.creationTimestamp"]);
        format!("{}{}\n--- server\n{}", wide.stdout, events.stdout, self.server.messages())
    }

    /// What the server and the joined agents have said.
    pub fn messages(&self) -> String {
        let agents = self.nodes.iter().map(|node| format!("--- {}\n{}", node.name, node.messages()));
        format!("--- server\n{}{}", self.server.messages(), agents.collect::<String>())
    }

    /// Kills the server with its agent and starts it again on its data.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn crash_and_restart(&mut self) {
        self.server.kill();
        self.server = serve(&self.strake, &self.pods, &self.extra);
    }

    /// Asks the server to end as an operator does, and waits until it has.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        let child = &mut self.server.child;
        let ended = wait_until(PATIENCE, || matches!(child.try_wait(), Ok(Some(_))));
        assert!(ended, "it never ended:\n{}", self.server.messages());
    }

    /// Starts the server again on its data.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn restart(&mut self) {
        self.server = serve(&self.strake, &self.pods, &self.extra);
    }

    /// The cgroup above the pods of the server's node.
    pub fn pods(&self) -> &CgroupSubtree {
        &self.pods
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.server.child.id()
    }

    /// The engine of the server's node.
    pub fn strake(&self) -> &Strake {
        &self.strake
    }

    /// A directory for the test's own files.
    pub fn home(&self) -> &Path {
        self.strake.home()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.strake.root().join("server/admin.kubeconfig")
    }

    /// Lets another node join, with an engine of its own, and waits until it is ready.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn join(&mut self, strake: Strake, extra: &[&str]) -> &Node {
        let number = self.nodes.len() + 2;
        let name = format!("n{number}");
        let keeper = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().expect("unshare");
        let pid = keeper.id().to_string();
        let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
        let apart = || fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|its| its != own);
        assert!(wait_until(PATIENCE, apart), "the node's namespace");
        ip(&format!("link add {name} type veth peer name eth0 netns {pid}"));
        ip(&format!("link set {name} master lan up"));
        let inside = |args: &str| {
            let mut command = within(&keeper);
            run(command.arg("ip").args(args.split(' '))).ok();
        };
        inside(&format!("address add {LAN}{number}/24 dev eth0"));
        inside("link set eth0 up");
        inside("link set lo up");
        inside(&format!("route add default via {LAN}1"));
        let pods = CgroupSubtree::new("pods");
        let mut command = within(&keeper);
        command.arg(bin("strake")).arg("--root").arg(strake.root()).arg("--state").arg(strake.state());
        command.args(["agent", "--server", &format!("https://{LAN}1:6443"), "--token-file"]);
        command.arg(self.strake.root().join("server/node-token"));
        command.args(["--node-name", &name, "--node-ip", &format!("{LAN}{number}")]);
        command.arg("--pod-logs").arg(strake.root().join("pod-logs"));
        command
            .args(NEVER_EVICT)
            .args(["--pods-cgroup", pods.path()])
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let agent = Process::start(command, None);
        self.nodes.push(Node { name: name.clone(), strake, _pods: pods, keeper, agent });
        self.wait_ready(&name);
        self.nodes.last().expect("pushed above")
    }

    /// The nodes that have joined.
    pub fn nodes(&mut self) -> &mut Vec<Node> {
        &mut self.nodes
    }

    #[track_caller]
    fn wait_ready(&self, node: &str) {
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        self.wait_for(&["get", "node", node, "-o", ready], "True");
        // Its server has a certificate when the control plane has signed one.
        self.wait_for(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/healthz")], "ok");
    }
}

impl Node {
    /// A command on this node's network, such as `curl`.
    pub fn command(&self) -> Command {
        within(&self.keeper)
    }

    /// Its engine.
    pub fn strake(&self) -> &Strake {
        &self.strake
    }

    /// Its agent's process.
    pub fn pid(&self) -> u32 {
        self.agent.child.id()
    }

    /// What its agent has said.
    pub fn messages(&self) -> String {
        self.agent.messages()
    }

    /// The machine loses its power: agent, containers, network and all; what is left is its disk.
    pub fn power_off(&mut self) {
        self.agent.kill();
        let ids = self.strake.run(&["ps", "-q"]);
        for id in ids.stdout.split_whitespace() {
            self.strake.run(&["kill", id]);
        }
        self.unplug();
    }

    /// Its network namespace ends with the one process in it.
    fn unplug(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Before the engines' directories go: what runs would start anew what is removed there.
        self.nodes.iter_mut().for_each(|node| node.agent.kill());
        self.server.kill();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent.kill();
        self.unplug();
    }
}

fn serve(strake: &Strake, pods: &CgroupSubtree, extra: &[String]) -> Process {
    let mut command = strake.command(&["server", "--node-name", "n1", "--node-ip", &format!("{LAN}1")]);
    command.args(["--advertise-address", &format!("{LAN}1"), "--pods-cgroup", pods.path()]);
    command.args(NEVER_EVICT).arg("--pod-logs").arg(strake.root().join("pod-logs"));
    command.args(extra).stdout(Stdio::null());
    Process::start(command, Some(" ready in "))
}

impl Process {
    /// Starts it and waits until it has said `ready`.
    fn start(mut command: Command, ready: Option<&str>) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("strake starts");
        let messages = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let said = Arc::new(Mutex::new(String::new()));
        let (send, receive) = mpsc::channel();
        let kept = Arc::clone(&said);
        // Reads on to the end, so that it never writes into a full or closed pipe.
        std::thread::spawn(move || {
            for line in messages.lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend([line.as_str(), "\n"]);
                let _ = send.send(line);
            }
        });
        let mut process = Self { child, said };
        if let Some(ready) = ready {
            let came =
                std::iter::from_fn(|| receive.recv_timeout(PATIENCE).ok()).any(|line| line.contains(ready));
            if !came {
                process.kill();
                panic!("it never said {ready:?}:\n{}", process.messages());
            }
        }
        process
    }

    fn messages(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn within(keeper: &Child) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", keeper.id()));
    command
}

fn ip(args: &str) {
    run(Command::new("ip").args(args.split(' '))).ok();
}
