//! Folders of this node that are volumes: removed when their volume is to go.
//!
//! [`controllers::local_path`] has the agreement: it makes the volume and deletes it, and the node, which made the
//! folder when it was mounted first, removes that and then the finalizer that held the volume.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Cache, Call, Mirror, PatchType, WatchOptions};
use controllers::local_path::{FINALIZER, is_to_be_cleared, of_node};
use futures_util::StreamExt;
use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Node;
use crate::notices::Notices;

/// Follows the node's volumes until the shutdown.
pub(super) fn run(node: &Node, mut shutdown: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
    let keeper =
        Keeper { api: Arc::clone(&node.api), hostname: node.args.name(), notices: node.notices.clone() };
    async move {
        tokio::select! {
            () = keeper.follow() => {}
            _ = shutdown.wait_for(|ended| *ended) => {}
        }
    }
}

struct Keeper {
    api: Arc<dyn Api>,
    hostname: String,
    notices: Notices,
}

impl Keeper {
    async fn follow(&self) {
        let volumes = volumes();
        let mine = Some(of_node(&self.hostname));
        let look = Call::list(&volumes, "").with(|options| options.label_selector.clone_from(&mine));
        // A control plane that makes no such volumes does not let nodes look for them.
        if self.api.call(look).await.is_err_and(|status| status.code == 403) {
            return;
        }
        let mine = WatchOptions { label_selector: mine, ..WatchOptions::default() };
        let cache = Cache::start_selected(&self.api, vec![(volumes.clone(), mine)]);
        let mut changes = cache.changes(&volumes.group_resource());
        loop {
            let mut again = false;
            for volume in cache.items(&volumes.group_resource(), None) {
                again |= self.clear(&volume.value()).await.is_err();
            }
            let retry =
                async { if again { tokio::time::sleep(AGAIN).await } else { std::future::pending().await } };
            tokio::select! {
                change = changes.next() => if change.is_none() { return },
                () = retry => {}
            }
        }
    }

    /// Removes a volume's folder if it is to go, and lets go of the volume.
    async fn clear(&self, volume: &Value) -> Result<(), Failed> {
        let Some(path) = is_to_be_cleared(volume, &self.hostname) else { return Ok(()) };
        let name = volume["metadata"]["name"].as_str().unwrap_or_default();
        let folder = PathBuf::from(path);
        let removed = tokio::task::spawn_blocking(move || remove(&folder)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            self.notices.warn(format_args!("volume {name}: remove {path}: {error}"));
            return Err(Failed);
        }
        match self.api.call(Call::patch(&volumes(), "", name, PatchType::Merge, let_go(volume))).await {
            Ok(_) => Ok(()),
            // Somebody else was faster.
            Err(status) if matches!(status.code, 404 | 409) => Ok(()),
            Err(status) => {
                self.notices.warn(format_args!("volume {name}: remove its finalizer: {status}"));
                Err(Failed)
            }
        }
    }
}

/// It has been told, and is tried again.
struct Failed;

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The volume as it is, without our finalizer.
fn let_go(volume: &Value) -> Value {
    let all = volume["metadata"]["finalizers"].as_array().into_iter().flatten();
    let left: Vec<&Value> = all.filter(|finalizer| *finalizer != FINALIZER).collect();
    json!({"metadata": {"resourceVersion": volume["metadata"]["resourceVersion"], "finalizers": left}})
}

fn volumes() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "persistentvolumes")
}

/// Before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_go_of_nothing_but_its_own() {
        let volume = json!({"metadata": {"resourceVersion": "7", "finalizers": ["a", FINALIZER, "b"]}});
        let expected = json!({"metadata": {"resourceVersion": "7", "finalizers": ["a", "b"]}});
        assert_eq!(let_go(&volume), expected);
    }
}
