//! A pod's volumes: made before its containers, kept up to date, taken away after them.
//!
//! What a volume holds is read from the API first ([`content`]); then files and mounts are made in
//! one go on a thread for blocking work. Making again what is there changes nothing, so that a
//! restarted kubelet simply makes all volumes again.

mod atomic;
mod content;
mod disk;
mod owner;
mod sub_path;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube_object::resource::GroupVersionResource;
use serde_json::Value;

pub(crate) use atomic::Payload;
pub(crate) use content::Tokens;
pub(crate) use disk::{remove, used_bytes};
pub(crate) use sub_path::sub_paths;

use crate::kubelet::Shared;
use crate::model::Wanted;
use crate::read::{at, flag, items, name, namespace, text, uid};
use crate::resources;
use crate::spec::Mounted;
use client::Call;
use kube_api::quantity::{self, Quantity};

/// The volumes of a pod, made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// By name.
    pub(crate) mounts: BTreeMap<String, Mounted>,
    /// When tokens have to be asked for anew.
    pub(crate) refresh_after: Option<Duration>,
}

/// What is to be made of a volume: decided, not yet done.
#[derive(Debug)]
pub(crate) enum Source {
    /// An empty folder; in memory up to so many bytes where that is asked for.
    Empty { in_memory: bool, size: Option<i64> },
    /// Files that are written, and again when they change.
    Files { payload: Payload, kind: FilesKind },
    /// A place of the node. What has to be there, in upstream's word.
    Host { path: String, kind: String, owned: Owned },
    /// An image; the runtime mounts it.
    Image(String),
}

/// What a volume of files is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilesKind {
    ConfigMap,
    Secret,
    Fields,
    Projected,
}

impl FilesKind {
    fn of(volume: &Value) -> Self {
        let is = |kind: &str| at(volume, &[kind]).is_some();
        match () {
            () if is("secret") => Self::Secret,
            () if is("downwardAPI") => Self::Fields,
            () if is("projected") => Self::Projected,
            () => Self::ConfigMap,
        }
    }

    /// Its name in a pod's folder, as upstream has it.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::ConfigMap => "kubernetes.io~configmap",
            Self::Secret => "kubernetes.io~secret",
            Self::Fields => "kubernetes.io~downward-api",
            Self::Projected => "kubernetes.io~projected",
        }
    }

    /// Whether it must never be on a disk.
    pub(crate) fn is_in_memory(self) -> bool {
        self != Self::ConfigMap
    }
}

/// Whether a place of the node is the pods' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// It is the node's.
    No,
    /// A pod's group may be given it.
    Group,
    /// Likewise, and whoever uses it may write there when it is made.
    All,
}

/// A volume cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("MountVolume.SetUp failed for volume {volume:?} : {why}")]
    SetUp { volume: String, why: String },
    #[error(
        "volume {volume:?} is of a kind that this node cannot make: use emptyDir, hostPath, configMap, secret, projected, downwardAPI, image, or a claim of a local or hostPath volume"
    )]
    Unknown { volume: String },
}

/// Makes all volumes of a pod.
pub(crate) async fn make(shared: &Shared, pod: &Value, addresses: &[String]) -> Result<Made, VolumeError> {
    let mut made = Made::default();
    let mut work = Vec::new();
    for volume in items(pod, &["spec", "volumes"]) {
        let named = text(volume, &["name"]);
        let failed = |why: String| VolumeError::SetUp { volume: named.to_owned(), why };
        let found = source(shared, pod, volume, addresses, &mut made.refresh_after).await;
        let Some(source) = found.map_err(failed)? else {
            return Err(VolumeError::Unknown { volume: named.to_owned() });
        };
        let is_read_only = flag(volume, &["persistentVolumeClaim", "readOnly"]);
        work.push((named.to_owned(), source, is_read_only));
    }
    let folder = shared.config.paths.pod(uid(pod));
    let owner = owner::Owner::of(pod);
    let done = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| VolumeError::SetUp {
            volume: folder.display().to_string(),
            why: error.to_string(),
        })?;
        let mut mounts = BTreeMap::new();
        for (named, source, is_read_only) in work {
            let mounted = disk::make(&folder, &named, source, &owner);
            let mut mounted = mounted.map_err(|why| VolumeError::SetUp { volume: named.clone(), why })?;
            mounted.is_read_only |= is_read_only;
            mounts.insert(named, mounted);
        }
        Ok(mounts)
    });
    made.mounts = match done.await {
        Ok(mounts) => mounts?,
        Err(error) => return Err(VolumeError::SetUp { volume: String::new(), why: error.to_string() }),
    };
    Ok(made)
}

/// What is to be made of a volume; nothing where its kind is not ours.
async fn source(
    shared: &Shared,
    pod: &Value,
    volume: &Value,
    addresses: &[String],
    refresh: &mut Option<Duration>,
) -> Result<Option<Source>, String> {
    if let Some(empty) = at(volume, &["emptyDir"]) {
        let in_memory = text(empty, &["medium"]) == "Memory";
        let size = memory_of(pod, empty, &shared.view().allocatable);
        return Ok(Some(Source::Empty { in_memory, size }));
    }
    if let Some(host) = at(volume, &["hostPath"]) {
        let (path, kind) = (text(host, &["path"]).to_owned(), text(host, &["type"]).to_owned());
        return Ok(Some(Source::Host { path, kind, owned: Owned::No }));
    }
    if let Some(image) = at(volume, &["image"]) {
        return crate::images::volume(shared, pod, image).await.map(|image| Some(Source::Image(image)));
    }
    if let Some(claim) = at(volume, &["persistentVolumeClaim"]) {
        return claimed(shared, namespace(pod), text(claim, &["claimName"])).await.map(Some);
    }
    if at(volume, &["ephemeral"]).is_some() {
        let claim = format!("{}-{}", name(pod), text(volume, &["name"]));
        return claimed(shared, namespace(pod), &claim).await.map(Some);
    }
    let payload = content::payload(shared, pod, volume, addresses, refresh).await?;
    Ok(payload.map(|payload| Source::Files { payload, kind: FilesKind::of(volume) }))
}

/// How large an empty folder in memory may grow: as its limit says, but neither beyond what all containers may
/// take together, nor beyond what the node has for pods.
fn memory_of(pod: &Value, empty: &Value, allocatable: &Value) -> Option<i64> {
    let own = at(empty, &["sizeLimit"]).and_then(quantity::read).map(Quantity::value);
    let of_node = at(allocatable, &["memory"]).and_then(quantity::read).map(Quantity::value);
    let of_pod = resources::together(pod, "limits", "memory").map(Quantity::value);
    let mut containers = Wanted::init(pod).chain(Wanted::main(pod));
    let has_all = at(pod, &["spec", "resources", "limits", "memory"]).is_some()
        || containers.all(|wanted| resources::amount(wanted.spec, "limits", "memory").is_some());
    [own, of_pod.filter(|_| has_all), of_node].into_iter().flatten().filter(|size| *size > 0).min()
}

/// The place of a claim's volume on this node.
async fn claimed(shared: &Shared, namespace: &str, claim: &str) -> Result<Source, String> {
    let claims = GroupVersionResource::new("", "v1", "persistentvolumeclaims");
    let volumes = GroupVersionResource::new("", "v1", "persistentvolumes");
    let api = &shared.config.api;
    let found = api.call(Call::get(&claims, namespace, claim)).await.map_err(|status| status.to_string())?;
    let bound = text(&found, &["spec", "volumeName"]);
    if bound.is_empty() || text(&found, &["status", "phase"]) != "Bound" {
        return Err(format!("persistentvolumeclaim \"{claim}\" is not bound"));
    }
    let volume = api.call(Call::get(&volumes, "", bound)).await.map_err(|status| status.to_string())?;
    // Folders that were made for their claims, and not those that somebody points at.
    let is_made = text(&volume, &["metadata", "annotations", PROVISIONED_BY]) == LOCAL_PATH;
    let of_host = if is_made { Owned::All } else { Owned::No };
    for (kind, owned) in [("local", Owned::Group), ("hostPath", of_host)] {
        if let Some(place) = at(&volume, &["spec", kind]) {
            let (path, kind) = (text(place, &["path"]).to_owned(), text(place, &["type"]).to_owned());
            return Ok(Source::Host { path, kind, owned });
        }
    }
    Err(format!("persistentvolume \"{bound}\" is neither local nor hostPath: this node has no other drivers"))
}

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The provisioner whose volumes are folders that nodes make.
const LOCAL_PATH: &str = "rancher.io/local-path";

/// Where a volume of a kind lies in its pod's folder, as upstream has it.
pub(crate) fn place(folder: &Path, kind: &str, volume: &str) -> PathBuf {
    folder.join("volumes").join(kind).join(volume)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn memory_is_bounded_by_whoever_has_least() {
        let pod = |limits: &[&str]| {
            let containers: Vec<Value> = limits
                .iter()
                .map(|limit| json!({"name": "c", "resources": {"limits": {"memory": limit}}}))
                .collect();
            json!({"spec": {"containers": containers}})
        };
        let without = json!({"spec": {"containers": [{"name": "c"}]}});
        let whole =
            json!({"spec": {"containers": [{"name": "c"}], "resources": {"limits": {"memory": "2Mi"}}}});
        let (none, small, zero) = (json!({}), json!({"sizeLimit": "1Mi"}), json!({"sizeLimit": "0"}));
        let node = json!({"memory": "1Gi"});
        for (pod, empty, expected) in [
            (&without, &none, 1 << 30),
            (&without, &small, 1 << 20),
            (&without, &zero, 1 << 30),
            (&pod(&["3Mi", "1Mi"]), &none, 4 << 20),
            (&pod(&["3Mi", "1Mi"]), &small, 1 << 20),
            (&whole, &none, 2 << 20),
        ] {
            assert_eq!(memory_of(pod, empty, &node), Some(expected), "{pod} {empty}");
        }
        assert_eq!(memory_of(&without, &none, &json!({})), None);
    }
}
