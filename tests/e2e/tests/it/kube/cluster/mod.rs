//! A cluster with nodes: pods in their namespaces, services by name, driven by kubectl.

mod alone;
mod audit;
mod autoscale;
mod bounds;
mod certificates;
mod charts;
mod control_plane;
mod debug;
mod etcd;
mod healing;
mod kubelet;
mod light;
mod load;
mod loss;
mod newcomer;
mod nginx;
mod operate;
mod pods;
mod renewal;
mod rolling;
mod runtimes;
mod servers;
mod services;
mod streams;
mod volumes;

use std::process::Command;

use testkit::cluster::Cluster;
use testkit::{Strake, run};

/// A cluster of one node with the busybox image.
fn cluster() -> Cluster {
    Cluster::start(busybox())
}

/// A machine with the busybox image.
fn busybox() -> Strake {
    Strake::new().with_busybox()
}

/// A pod of containers that sleep; `more` stands in its `spec`, in flow style.
fn sleeper(name: &str, containers: &[&str], more: &str) -> String {
    let container = |name: &&str| {
        format!(
            "  - name: {name}\n    image: busybox\n    imagePullPolicy: IfNotPresent\n    command: [sleep, '3600']\n"
        )
    };
    let containers: String = containers.iter().map(container).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  \
         terminationGracePeriodSeconds: 1\n  {more}\n  containers:\n{containers}"
    )
}

/// What a command in a pod's container prints.
fn exec(cluster: &Cluster, pod: &str, container: &str, command: &[&str]) -> String {
    let mut args = vec!["exec", pod, "-c", container, "--"];
    args.extend(command);
    cluster.kubectl(&args).ok().to_owned()
}

/// A member of an object by its JSON path.
fn member(cluster: &Cluster, object: &str, path: &str) -> String {
    cluster.kubectl(&["get", object, "-o", &format!("jsonpath={{{path}}}")]).ok().to_owned()
}

/// What `curl` of this machine gets.
fn curl(url: &str) -> testkit::Output {
    run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "5", url]))
}
