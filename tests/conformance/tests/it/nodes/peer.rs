//! Pods of the image `peer`, in place of upstream's agnhost: this crate's program of that name, dig and busybox.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::images::busybox_rootfs;
use testkit::{Strake, TempDir, run};

use super::Shared;

/// Makes the image and imports it.
pub(super) fn import(strake: &Strake) {
    let scratch = TempDir::new();
    let rootfs = scratch.join("rootfs");
    busybox_rootfs(&rootfs);
    for (program, at) in [(env!("CARGO_BIN_EXE_peer"), "peer"), ("/usr/bin/dig", "bin/dig")] {
        fs::copy(program, rootfs.join(at)).unwrap();
        for library in libraries(Path::new(program)) {
            let inside = rootfs.join(library.trim_start_matches('/'));
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            fs::copy(&library, inside).unwrap();
        }
    }
    // What tells where lines are is most of it.
    run(Command::new("strip").arg(rootfs.join("peer"))).ok();
    let tar = scratch.join("peer.tar");
    run(Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&tar).arg(".")).ok();
    strake.ok(&["import", &tar.to_string_lossy(), "peer"]);
}

/// What a program is linked with, its loader too; none of a static one.
fn libraries(program: &Path) -> Vec<String> {
    let said = run(Command::new("ldd").arg(program)).stdout;
    let paths = said.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| path.trim_end_matches(':').to_owned()).collect()
}

/// A pod whose container `main` runs `peer ARGS`.
pub(crate) fn pod(name: &str, labels: Value, args: &[&str]) -> Value {
    let command: Vec<&str> = [&["/peer"], args].concat();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "peer", "imagePullPolicy": "IfNotPresent", "command": command,
            }],
        },
    })
}

/// A pod that answers `/hostname`, `/clientip` and `/echo?msg=` at HTTP port 8080 and UDP port 8081.
pub(crate) fn server(name: &str, labels: Value) -> Value {
    let mut pod = pod(name, labels, &["serve"]);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 });
    pod
}

/// A pod to ask from: it sleeps.
pub(crate) fn client(name: &str) -> Value {
    let mut pod = pod(name, json!({ "asks": name }), &[]);
    pod["spec"]["containers"][0]["command"] = json!(["sleep", "3600"]);
    pod
}

/// How often each answer came to `tries` questions that a pod asked: over `http` a path, over `udp` a word.
#[track_caller]
pub(crate) fn dial(
    cluster: &Shared,
    (namespace, pod): (&str, &str),
    how: &str,
    to: &str,
    request: &str,
    tries: u32,
) -> BTreeMap<String, u32> {
    let tries = tries.to_string();
    let said = cluster.exec(namespace, pod, "main", &["/peer", "dial", how, to, request, &tries]);
    serde_json::from_str(said.ok()).unwrap()
}
