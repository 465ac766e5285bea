//! A time, a cluster and a directory for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use auth::Authorizer;
use jiff::Timestamp;
use kube_object::cluster::Fixed;
use kube_object::resource::GroupResource;
use kube_object::user::User;
use serde_json::Value;

pub(crate) const NOW: i64 = 1_780_000_000;

pub(crate) fn at(offset_seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset_seconds).unwrap()
}

pub(crate) fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    User { name: name.to_owned(), groups, ..User::default() }
}

/// A cluster with these objects; their `kind` says which resource they are.
pub(crate) fn cluster(objects: impl IntoIterator<Item = Value>) -> Fixed {
    let mut cluster = Fixed::default();
    for object in objects {
        cluster.put(resource_of(&object), object);
    }
    cluster
}

pub(crate) fn authorizer(objects: impl IntoIterator<Item = Value>) -> Authorizer {
    Authorizer::new(Arc::new(cluster(objects)))
}

fn resource_of(object: &Value) -> GroupResource {
    let kind = object["kind"].as_str().unwrap();
    let group = match kind {
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => "rbac.authorization.k8s.io",
        "VolumeAttachment" => "storage.k8s.io",
        "ResourceSlice" => "resource.k8s.io",
        _ => "",
    };
    GroupResource::new(group, format!("{}s", kind.to_lowercase()))
}

/// A directory that goes with its owner.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("strake-auth-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
