//! Row NW-13: networking by CNI plugins, theirs under us and ours under others.

mod replay;
mod theirs;
mod under_others;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{Netns, TempDir};

/// Where Debian's plugins are.
const DEBIAN: &str = "/usr/lib/cni";

/// A plugin as a runtime runs it.
struct Plugin {
    program: PathBuf,
    /// What it has on the host between calls.
    _home: TempDir,
    /// Its own part of the configuration.
    config: Value,
    /// The plugin that is chained behind it for ports, when that is another.
    ports: Option<PathBuf>,
}

/// What a call gave: the exit status, and standard output as JSON when there is any.
#[derive(Debug)]
struct Said {
    status: i32,
    json: Value,
}

impl Plugin {
    /// Debian's bridge, with addresses by host-local and ports by portmap.
    fn debian() -> Self {
        let home = TempDir::new();
        let ipam = serde_json::json!({
            "type": "host-local", "dataDir": home.join("leases"),
            "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        });
        let config = serde_json::json!({"type": "bridge", "bridge": "cbr0", "isGateway": true, "ipMasq": true, "ipam": ipam});
        let bin = |name: &str| PathBuf::from(DEBIAN).join(name);
        Self { program: bin("bridge"), _home: home, config, ports: Some(bin("portmap")) }
    }

    /// Ours, under the name that runtimes know.
    fn ours() -> Self {
        let home = TempDir::new();
        let program = home.join("strake-cni");
        std::os::unix::fs::symlink(testkit::bin("strake"), &program).expect("linked");
        let config = serde_json::json!({
            "type": "strake-cni", "bridge": "cbr1", "subnet": "10.78.0.0/24",
            "root": home.join("root"), "state": home.join("state"),
        });
        Self { program, _home: home, config, ports: None }
    }

    /// The configuration as a runtime writes it.
    fn config(&self, version: &str) -> Value {
        let mut config = self.config.clone();
        config["cniVersion"] = version.into();
        config["name"] = "net".into();
        config
    }

    fn call(&self, variables: &[(&str, &str)], stdin: &str) -> Said {
        run(&self.program, variables, stdin)
    }

    /// A call about a container with all its variables.
    fn about(&self, command: &str, netns: &str, config: &Value) -> Said {
        self.call(&about(command, netns), &config.to_string())
    }
}

fn about<'a>(command: &'a str, netns: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", DEBIAN),
    ]
}

fn run(program: &std::path::Path, variables: &[(&str, &str)], stdin: &str) -> Said {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let mut child = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the plugin runs");
    // A plugin that refuses its environment does not read.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Said { status: output.status.code().unwrap_or(-1), json }
}

/// A container's namespace, with its path.
fn container() -> (Netns, String) {
    let netns = Netns::new();
    let path = netns.path();
    (netns, path)
}
