//! What the server has to finish by itself: garbage of deleted owners, and deleted namespaces.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Shared;
use super::model::lock;
use crate::kube::wire::{JSON, RETRY, Wire};

/// Where families live.
pub(super) const NAMESPACE: &str = "families";
/// How long it may take until all is done after the last kill.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// What must be gone in the end, and what must not.
#[derive(Clone, Default)]
pub(super) struct Chores {
    gone: Arc<Mutex<Vec<String>>>,
    kept: Arc<Mutex<Vec<String>>>,
}

impl Chores {
    /// A family and a namespace in each round, under way when the server is killed.
    pub(super) async fn run(self, shared: Shared) {
        let mut wire = Wire::new(&shared.target);
        let mut round = shared.round.clone();
        while round.changed().await.is_ok() {
            let number = *round.borrow_and_update();
            self.family(&mut wire, number).await;
            self.namespace(&mut wire, number).await;
        }
    }

    /// An owner, its child, that one's child, and a child of two; then the owner is deleted.
    async fn family(&self, wire: &mut Wire, number: u64) {
        let names = ["owner", "other", "child", "grandchild", "both"].map(|role| format!("{role}-{number}"));
        let [owner, other, child, grandchild, both] = &names;
        let owned = make(wire, owner, &[]).await;
        let others = make(wire, other, &[]).await;
        let childs = make(wire, child, &[&owned]).await;
        make(wire, grandchild, &[&childs]).await;
        make(wire, both, &[&owned, &others]).await;
        let policy = ["Background", "Foreground", "Orphan"][usize::try_from(number % 3).unwrap()];
        delete(wire, &path(owner), policy).await;
        lock(&self.gone).push(path(owner));
        let (mut gone, mut kept) = (lock(&self.gone), lock(&self.kept));
        kept.extend([path(other), path(both)]);
        if policy == "Orphan" { &mut kept } else { &mut gone }.extend([path(child), path(grandchild)]);
    }

    async fn namespace(&self, wire: &mut Wire, number: u64) {
        let name = format!("gone-{number}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(wire, "/api/v1/namespaces", &object).await;
        let own = format!("/api/v1/namespaces/{name}");
        for (kind, resource) in [("ConfigMap", "configmaps"), ("Secret", "secrets")] {
            let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "content"}});
            create(wire, &format!("{own}/{resource}"), &object).await;
        }
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "content"},
            "spec": {"ports": [{"port": 80}]},
        });
        create(wire, &format!("{own}/services"), &service).await;
        delete(wire, &own, "Background").await;
        lock(&self.gone).push(own);
    }

    /// Waits until all that is to go is gone; all else is there, and nothing names an owner that is not.
    pub(super) async fn assert_done(&self, wire: &mut Wire) {
        let deadline = Instant::now() + DONE_WITHIN;
        let (gone, kept) = (lock(&self.gone).clone(), lock(&self.kept).clone());
        for path in gone {
            loop {
                let answer = wire.insist("GET", &path, JSON, "").await;
                if answer.code == 404 {
                    break;
                }
                assert!(Instant::now() < deadline, "still there: {}", answer.text());
                tokio::time::sleep(RETRY).await;
            }
        }
        for path in kept {
            let object = wire.insist("GET", &path, JSON, "").await.ok();
            assert_eq!(object["metadata"]["deletionTimestamp"], Value::Null, "{object}");
            for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
                let name = owner["name"].as_str().unwrap();
                assert_eq!(wire.insist("GET", &self::path(name), JSON, "").await.code, 200, "{object}");
            }
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}")
}

/// Makes a ConfigMap; the reference to it.
async fn make(wire: &mut Wire, name: &str, owners: &[&Value]) -> Value {
    let metadata = json!({"name": name, "ownerReferences": owners});
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    create(wire, &format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), &object).await;
    let object = wire.insist("GET", &path(name), JSON, "").await.ok();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": object["metadata"]["uid"],
        "blockOwnerDeletion": true,
    })
}

async fn create(wire: &mut Wire, path: &str, object: &Value) {
    let answer = wire.insist("POST", path, JSON, object.to_string()).await;
    // An earlier try without an answer may have been carried out.
    assert!(answer.code == 201 || answer.text().contains("AlreadyExists"), "{path}: {}", answer.text());
}

async fn delete(wire: &mut Wire, path: &str, policy: &str) {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    let answer = wire.insist("DELETE", path, JSON, options.to_string()).await;
    let again = answer.code == 404 || answer.code == 409;
    assert!(answer.code < 300 || again, "{path}: {} {}", answer.code, answer.text());
}
