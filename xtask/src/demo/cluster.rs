//! `cargo xtask demo --cluster`: a cluster of one machine, in namespaces of its own.

use std::path::Path;

use anyhow::{Result, ensure};
use testkit::Strake;
use testkit::cluster::Cluster;

use super::heading;
use crate::{apt, binaries, isolated, process};

/// A Deployment of three and its Service, of the image that is made from the binary itself.
const WEB: &str = r"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: whoami, image: strake.local/tools, imagePullPolicy: IfNotPresent, command: [/whoami]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

/// Runs it; nothing is left on the machine.
pub(crate) fn run(root: &Path) -> Result<()> {
    ensure!(apt::is_root()?, "nodes are made by root: run `cargo xtask demo --cluster` as root");
    if !isolated::is_isolated() {
        apt::install(&[apt::BUILD, apt::TESTS])?;
        let built = binaries::build(root)?;
        testkit::kube::clients();
        return isolated::again(&std::env::current_exe()?, None, &built.dir);
    }
    heading("strake server: a control plane and a node, in one process");
    let cluster = Cluster::start(Strake::new());
    show(&cluster, &["get", "nodes", "-o", "wide"])?;

    heading("A Deployment of three behind a Service");
    println!("\n{WEB}");
    cluster.apply(WEB);
    show(&cluster, &["rollout", "status", "deployment/web", "--timeout=60s"])?;
    show(&cluster, &["get", "pods,services", "-o", "wide"])?;

    heading("One of them asks the others by name");
    for _ in 0..3 {
        show(&cluster, &["exec", "deployment/web", "--", "probe", "http", "http://web/"])?;
    }
    heading("All of them are deleted, and replaced");
    show(
        &cluster,
        &["delete", "pod", "-l", "app=web", "--field-selector=status.phase=Running", "--wait=false"],
    )?;
    show(&cluster, &["rollout", "status", "deployment/web", "--timeout=60s"])?;
    show(&cluster, &["get", "pods", "-o", "wide"])?;
    println!("\nOn a machine of yours: strake server (docs/guides/cluster.md)");
    Ok(())
}

/// Shows a command as a user types it, and runs it.
fn show(cluster: &Cluster, args: &[&str]) -> Result<()> {
    println!("\n\x1b[1m# kubectl {}\x1b[0m", args.join(" "));
    process::run_quietly(&mut cluster.kubectl_command(args))
}
