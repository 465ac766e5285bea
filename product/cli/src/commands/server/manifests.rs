//! Manifests that are applied by themselves: what the server brings, and the files of a folder.
//!
//! Each document is server-side applied under one name of ours, at the start and whenever its file changes.
//! What cannot be applied yet, such as an object whose definition comes in another file, is tried again.
//! Taking a file away leaves its objects.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Call, PatchType, Verb};
use kube_object::resource::{GroupVersionKind, GroupVersionResource};
use kube_object::status::Status;
use kube_object::yaml;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::notices::Notices;

/// Finds a kind's resource, and whether its objects live in namespaces.
pub(super) type Find = Arc<dyn Fn(&GroupVersionKind) -> Option<(GroupVersionResource, bool)> + Send + Sync>;

/// Applies manifests.
pub(super) struct Manifests {
    /// As whom.
    pub(super) api: Arc<dyn Api>,
    /// By the kinds that are served now.
    pub(super) find: Find,
    /// What the server brings: a name and a stream of documents.
    pub(super) own: Vec<(String, String)>,
    /// The folder of the administrator's files.
    pub(super) folder: PathBuf,
    /// Where to say what could not be applied.
    pub(super) notices: Notices,
}

impl Manifests {
    /// Applies what there is and what comes, until the shutdown.
    pub(super) async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let watched = changes(&self.folder);
        if let Err(error) = &watched {
            self.notices
                .warn(format_args!("watch {}: {error}; its files are read once", self.folder.display()));
        }
        let mut changes = watched.ok();
        let mut applied = BTreeMap::new();
        let mut wait = RETRY_FIRST;
        loop {
            let whole = self.apply_all(&mut applied).await;
            wait = if whole { RETRY_FIRST } else { (wait * 2).min(RETRY_LAST) };
            tokio::select! {
                () = tokio::time::sleep(wait), if !whole => {}
                () = next(&mut changes) => {}
                () = client::asked_to_end(&mut shutdown) => return,
            }
        }
    }

    /// Applies what differs from `applied`; whether all of it is.
    async fn apply_all(&self, applied: &mut BTreeMap<String, String>) -> bool {
        let mut whole = true;
        for (name, text) in self.own.iter().cloned().chain(files(&self.folder)) {
            if applied.get(&name) == Some(&text) {
                continue;
            }
            match self.apply(&text).await {
                Ok(()) => drop(applied.insert(name, text)),
                Err(why) => {
                    self.notices.warn(format_args!("manifest {name}: {why}"));
                    whole = false;
                }
            }
        }
        whole
    }

    async fn apply(&self, text: &str) -> Result<(), String> {
        for document in yaml::documents(text) {
            let object = yaml::read(document.as_bytes()).map_err(|error| error.to_string())?.value;
            for object in objects(object) {
                self.apply_object(object).await?;
            }
        }
        Ok(())
    }

    async fn apply_object(&self, object: Value) -> Result<(), String> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        if name.is_empty() {
            return Err(format!("a {kind} without metadata.name cannot be applied"));
        }
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let gvk = GroupVersionKind::new(group, version, &kind);
        let (resource, namespaced) =
            (self.find)(&gvk).ok_or_else(|| format!("no kind {kind} in {group}/{version}"))?;
        let given = text("/metadata/namespace");
        let namespace = match (namespaced, given.as_str()) {
            (false, _) => "",
            (true, "") => "default",
            (true, given) => given,
        };
        let mut call = Call::get(&resource, namespace, &name).with_body(object).with(|options| {
            options.field_manager = Some(FIELD_MANAGER.to_owned());
            options.force = true;
        });
        call.verb = Verb::Patch;
        call.patch = Some(PatchType::Apply);
        let done: Result<Value, Status> = self.api.call(call).await;
        done.map(drop).map_err(|status| format!("{kind} {name}: {}", status.message))
    }
}

/// The items of a list, or the one object.
fn objects(mut value: Value) -> Vec<Value> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    // Other kinds may have members of that name.
    if !kind.ends_with("List") {
        return vec![value];
    }
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The folder's manifests by path, in the order of their names.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_manifest = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
    };
    let mut paths: Vec<PathBuf> = entries.filter(is_manifest).collect();
    paths.sort();
    let read = |path: PathBuf| Some((path.display().to_string(), fs::read_to_string(path).ok()?));
    paths.into_iter().filter_map(read).collect()
}

/// Tells of each change of a folder: a thread waits for the kernel's word, as long as somebody listens.
fn changes(folder: &Path) -> io::Result<mpsc::Receiver<()>> {
    fs::create_dir_all(folder)?;
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, folder, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO)?;
    let (tell, told) = mpsc::channel(1);
    std::thread::Builder::new().name("manifests".to_owned()).spawn(move || {
        let mut space = [0; 4096];
        while rustix::io::read(&watch, &mut space).is_ok_and(|read| read > 0) {
            // One word in the channel says it of all changes before.
            if let Err(mpsc::error::TrySendError::Closed(())) = tell.try_send(()) {
                return;
            }
        }
    })?;
    Ok(told)
}

/// The next change; never, if nobody can tell.
async fn next(changes: &mut Option<mpsc::Receiver<()>>) {
    let told = match changes {
        Some(told) => told.recv().await,
        None => None,
    };
    if told.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Under which name fields are owned.
const FIELD_MANAGER: &str = "strake-manifests";
/// Between tries of what could not be applied.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_their_items() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]});
        assert_eq!(objects(list), [json!({"kind": "A"}), json!({"kind": "B"})]);
        let widget = json!({"kind": "Widget", "items": ["of its own"]});
        assert_eq!(objects(widget.clone()), [widget]);
    }
}
