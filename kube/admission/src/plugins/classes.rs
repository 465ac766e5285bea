//! Steps about classes of storage and ingress, and about storage that is in use.

use std::cmp::Reverse;
use std::sync::Arc;

use base::Quantity;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::notes::Notes;
use crate::plugin::{Plugin, Scene};
use crate::read::{at, is_true, list_mut, set, text};
use crate::request::{Operation, Request};

/// The newest class that is marked as the default; of the same age, the first by name.
fn default_class(scene: &Scene<'_>, resource: &GroupResource, marks: &[&str]) -> Option<Arc<Value>> {
    let marked =
        |class: &Value| marks.iter().any(|mark| text(class, &["metadata", "annotations", mark]) == "true");
    let age = |class: &Arc<Value>| {
        let meta = |name| text(class, &["metadata", name]).to_owned();
        (Reverse(meta("creationTimestamp")), meta("name"))
    };
    scene.cluster().list(resource, None).into_iter().filter(|class| marked(class)).min_by_key(age)
}

/// `DefaultStorageClass`: claims that name no class get the default one.
pub(crate) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "persistentvolumeclaims") {
            return Ok(());
        }
        let Some(claim) = &mut request.object else { return Ok(()) };
        if class_of(claim).is_some() {
            return Ok(());
        }
        let classes = GroupResource::new("storage.k8s.io", "storageclasses");
        let marks = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ];
        if let Some(class) = default_class(scene, &classes, &marks) {
            set(claim, &["spec"], "storageClassName", text(&class, &["metadata", "name"]));
        }
        Ok(())
    }
}

/// The class that a claim names; an empty one is named too.
fn class_of(claim: &Value) -> Option<&str> {
    let annotation = at(claim, &["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    annotation.as_str().or_else(|| at(claim, &["spec", "storageClassName"]).as_str())
}

/// `StorageObjectInUseProtection`: volumes, claims and classes stay while someone uses them.
pub(crate) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.subresource.is_empty() {
            return Ok(());
        }
        let finalizer = match (request.resource.group.as_str(), request.resource.resource.as_str()) {
            ("", "persistentvolumes") => "kubernetes.io/pv-protection",
            ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
            ("storage.k8s.io", "volumeattributesclasses") => "kubernetes.io/vac-protection",
            _ => return Ok(()),
        };
        if let Some(object) = &mut request.object
            && let Some(finalizers) = list_mut(object, &["metadata"], "finalizers")
            && !finalizers.iter().any(|known| known == finalizer)
        {
            finalizers.push(Value::from(finalizer));
        }
        Ok(())
    }
}

/// `PersistentVolumeClaimResize`: only what the class lets grow grows.
pub(crate) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let (Some(new), Some(old)) = (&request.object, &request.old) else { return Ok(()) };
        if !request.is_for("", "persistentvolumeclaims") {
            return Ok(());
        }
        let size = |claim: &Value| {
            let text = text(claim, &["spec", "resources", "requests", "storage"]);
            Quantity::parse(text).unwrap_or(Quantity::ZERO)
        };
        if size(new) <= size(old) {
            return Ok(());
        }
        if text(old, &["status", "phase"]) != "Bound" {
            return Err(request.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let class = class_of(new).filter(|class| !class.is_empty() && class_of(old) == Some(class));
        let classes = GroupResource::new("storage.k8s.io", "storageclasses");
        let class = class.and_then(|class| scene.get(&classes, "", class));
        if class.is_some_and(|class| is_true(&class, &["allowVolumeExpansion"])) {
            return Ok(());
        }
        Err(request.forbidden(
            "only dynamically provisioned pvc can be resized and \
             the storageclass that provisions the pvc must support resize",
        ))
    }
}

/// `DefaultIngressClass`: ingresses that name no class get the default one.
pub(crate) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("networking.k8s.io", "ingresses") {
            return Ok(());
        }
        let Some(ingress) = &mut request.object else { return Ok(()) };
        let annotation = at(ingress, &["metadata", "annotations", "kubernetes.io/ingress.class"]);
        if !at(ingress, &["spec", "ingressClassName"]).is_null() || !annotation.is_null() {
            return Ok(());
        }
        let classes = GroupResource::new("networking.k8s.io", "ingressclasses");
        if let Some(class) = default_class(scene, &classes, &["ingressclass.kubernetes.io/is-default-class"])
        {
            set(ingress, &["spec"], "ingressClassName", text(&class, &["metadata", "name"]));
        }
        Ok(())
    }
}

/// `DenyServiceExternalIPs`: no service claims a foreign address. Off unless enabled.
pub(crate) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "services") {
            return Ok(());
        }
        let addresses = |object: &Option<Value>| {
            let object = object.as_ref().unwrap_or(&Value::Null);
            crate::read::items(object, &["spec", "externalIPs"]).to_vec()
        };
        let known = addresses(&request.old);
        if addresses(&request.object).iter().all(|address| known.contains(address)) {
            return Ok(());
        }
        Err(request.forbidden("Use of external IPs is denied by admission control."))
    }
}
