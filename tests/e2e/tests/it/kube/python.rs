//! The Python client, which is not kin to client-go: its own JSON, its own watch, its own discovery.

use std::process::Command;

use testkit::kube::{KubeServer, clients};
use testkit::run;

/// Runs one function of `python.py` on a server of its own.
fn python(function: &str) {
    let (server, clients) = (KubeServer::start(), clients());
    let script = server.home().join("client.py");
    std::fs::write(&script, include_str!("python.py")).unwrap();
    let mut command = Command::new("timeout");
    command.args(["60", "python3"]).arg(&script).arg(function).current_dir(server.home());
    command.env("PYTHONPATH", &clients.python).env("KUBECONFIG", server.kubeconfig());
    command.env("HOME", server.home()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run(&mut command);
    assert!(output.code == 0, "{function}:\n{}\n{}", output.stdout, output.stderr);
}

macro_rules! functions {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            python(stringify!($name));
        }
    )*};
}

functions! { apply crud custom_objects dynamic patches watches }
