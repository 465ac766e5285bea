//! Pods from files: run without an API, shown in it by objects that stand for them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use kube_object::resource::GroupVersionKind;
use rustix::fs::inotify;
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::read::{name, text};

/// Tells the pods of the folder, and again when they change. Without a folder it never tells.
pub(crate) fn follow(config: &Config) -> mpsc::Receiver<Vec<Arc<Value>>> {
    let (sender, receiver) = mpsc::channel(1);
    if config.paths.static_pods.is_some() {
        let config = config.clone();
        tokio::spawn(async move { watch(&config, &sender).await });
    } else {
        // Kept open: an end would look like the folder's.
        tokio::spawn(async move { sender.closed().await });
    }
    receiver
}

async fn watch(config: &Config, sender: &mpsc::Sender<Vec<Arc<Value>>>) {
    let Some(folder) = &config.paths.static_pods else { return };
    drop(std::fs::create_dir_all(folder));
    // What is deprecated is sharing a descriptor with others; this one is owned.
    #[allow(deprecated)]
    let watch = open(folder).and_then(AsyncFd::new);
    loop {
        if sender.send(read(config)).await.is_err() {
            return;
        }
        let Ok(watch) = &watch else { return sender.closed().await };
        let Ok(mut ready) = watch.readable().await else { return };
        drain(watch.get_ref());
        ready.clear_ready();
        // A file is written in steps.
        tokio::time::sleep(SETTLE).await;
        drain(watch.get_ref());
    }
}

fn open(folder: &Path) -> std::io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let of = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::MOVED_FROM
        | inotify::WatchFlags::DELETE;
    inotify::add_watch(&watch, folder, of)?;
    Ok(watch)
}

fn drain(watch: &OwnedFd) {
    let mut buffer = [0u8; 4096];
    while rustix::io::read(watch.as_fd(), &mut buffer).is_ok_and(|read| read > 0) {}
}

/// The pods of the folder, in the order of their files. What is no pod is left out.
pub(crate) fn read(config: &Config) -> Vec<Arc<Value>> {
    let Some(folder) = &config.paths.static_pods else { return Vec::new() };
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let plain = |path: &&std::path::PathBuf| {
        path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
    };
    let pods = paths.iter().filter(plain).filter_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        prepare(&text, path, &config.node.name)
    });
    pods.map(Arc::new).collect()
}

/// A pod as it is run: named for its node, with an identity made of its content.
fn prepare(file: &str, path: &Path, node: &str) -> Option<Value> {
    let mut pod: Value = serde_json::from_str(file)
        .ok()
        .or_else(|| kube_object::yaml::read(file.as_bytes()).ok().map(|read| read.value))?;
    if text(&pod, &["kind"]) != "Pod" || name(&pod).is_empty() {
        return None;
    }
    kube_api::default(&GroupVersionKind::new("", "v1", "Pod"), &mut pod);
    let uid = identity(&format!("{node}\0{}\0{file}", path.display()));
    let named = format!("{}-{node}", name(&pod).to_lowercase());
    let space = match text(&pod, &["metadata", "namespace"]) {
        "" => "default".to_owned(),
        space => space.to_owned(),
    };
    pod["metadata"]["name"] = json!(named);
    pod["metadata"]["namespace"] = json!(space);
    pod["metadata"]["uid"] = json!(uid);
    pod["metadata"]["annotations"]["kubernetes.io/config.hash"] = json!(uid);
    pod["metadata"]["annotations"]["kubernetes.io/config.source"] = json!("file");
    pod["spec"]["nodeName"] = json!(node);
    // Other classes are known to the API only.
    let class = text(&pod, &["spec", "priorityClassName"]);
    let known = SYSTEM_CLASSES.iter().find(|(name, _)| *name == class).map(|(_, priority)| *priority);
    if let Some(priority) = known.filter(|_| crate::read::number(&pod, &["spec", "priority"]).is_none()) {
        pod["spec"]["priority"] = json!(priority);
    }
    let tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let all = json!({"effect": "NoExecute", "operator": "Exists"});
    pod["spec"]["tolerations"] = tolerations.into_iter().chain([all]).collect();
    Some(pod)
}

/// Whether a pod comes from a file.
pub(crate) fn is_static(pod: &Value) -> bool {
    text(pod, &["metadata", "annotations", "kubernetes.io/config.source"]) == "file"
}

/// Classes of priorities that every cluster has.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// 128 bits of a text as 32 letters.
fn identity(text: &str) -> String {
    let hash = |seed: u64| {
        text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}", hash(0xcbf2_9ce4_8422_2325), hash(0x9ae1_6a3b_2f90_404f))
}

const SETTLE: std::time::Duration = std::time::Duration::from_millis(50);
