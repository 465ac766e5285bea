//! Claims that wait for a node: the volume becomes theirs, or is asked for, and then they are waited for.

use std::sync::Arc;
use std::time::Duration;

use client::{Api, Call, Mirror, PatchType};
use controllers::{known, object};
use kube_object::status::Status;
use scheduler::{Pod, SELECTED_NODE, VolumeStep};
use serde_json::{Value, json};

use crate::act::Done;

/// Does what the claims of a pod need on its node.
pub(crate) async fn ask(
    api: Arc<dyn Api>,
    mirror: Arc<dyn Mirror>,
    pod: Arc<Pod>,
    steps: Vec<VolumeStep>,
) -> Done {
    let mut end = Ok(());
    for step in &steps {
        end = match step {
            VolumeStep::Bind { claim, volume } => give(&*api, &*mirror, &pod, claim, volume).await,
            VolumeStep::Provision { claim } => provision(&*api, &pod, claim).await,
            VolumeStep::Await { .. } => Ok(()),
        };
        if end.is_err() {
            break;
        }
    }
    Done::Asked { pod, end }
}

/// The volume names its claim; the volume controller does the rest.
async fn give(
    api: &dyn Api,
    mirror: &dyn Mirror,
    pod: &Pod,
    claim: &str,
    volume: &str,
) -> Result<(), Status> {
    let found = mirror.item(&known::persistent_volume_claims().group_resource(), &pod.namespace, claim);
    let uid = found.as_ref().map(|item| item.uid().to_owned()).unwrap_or_default();
    let known_volume = api.call(Call::get(known::persistent_volumes(), "", volume)).await?;
    let owner = object::text(&known_volume, &["spec", "claimRef", "name"]);
    if !owner.is_empty() && owner != claim {
        return Err(Status::unavailable(format!("volume {volume} was given to claim {owner}")));
    }
    let mut changed: Value = known_volume;
    object::set(
        &mut changed,
        &["spec", "claimRef"],
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": &*pod.namespace,
            "name": claim, "uid": uid}),
    );
    object::set(&mut changed, &["metadata", "annotations", BOUND_BY_CONTROLLER], json!("yes"));
    api.call(Call::update(known::persistent_volumes(), changed)).await.map(drop)
}

/// The claim names the node; its provisioner makes the volume there.
async fn provision(api: &dyn Api, pod: &Pod, claim: &str) -> Result<(), Status> {
    let node = pod.node.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
    let claims = known::persistent_volume_claims();
    api.call(Call::patch(claims, &pod.namespace, claim, PatchType::Merge, patch)).await.map(drop)
}

/// A pod whose volumes are on their way.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) pod: Arc<Pod>,
    /// `namespace/name` of the claims.
    pub(crate) claims: Vec<String>,
    /// When it is given up.
    pub(crate) until: Duration,
    /// Whether everything has been asked for.
    pub(crate) asked: bool,
}

/// What became of the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claims {
    /// All have their volumes.
    Bound,
    /// One has not.
    Open,
    /// One is gone, or its provisioner wants another node.
    Lost,
}

impl Awaited {
    /// Looks at the claims as they are now.
    pub(crate) fn look(&self, mirror: &dyn Mirror) -> Claims {
        let node = self.pod.node.as_deref().unwrap_or_default();
        let mut all = Claims::Bound;
        for key in &self.claims {
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            let claims = known::persistent_volume_claims().group_resource();
            let Some(claim) = mirror.get(&claims, namespace, name) else { return Claims::Lost };
            if object::text(&claim, &["status", "phase"]) == "Bound" {
                continue;
            }
            let annotations = object::at(&claim, &["metadata", "annotations"]);
            let selected = annotations.map(|all| object::text(all, &[SELECTED_NODE])).unwrap_or_default();
            if !selected.is_empty() && selected != node {
                return Claims::Lost;
            }
            all = Claims::Open;
        }
        all
    }
}

const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// How long volumes are waited for, as upstream.
pub(crate) const BOUND_WITHIN: Duration = Duration::from_secs(600);
