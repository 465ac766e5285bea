//! The shared server as most tests of objects see it: JSON in, JSON out, refusals are failures.

use std::sync::Arc;

use serde_json::Value;
use testkit::kube::Part;

use crate::rig::{Answer, MERGE_PATCH, Rig, STRATEGIC_PATCH, Watch, rig, wait_for};

/// The server, with calls that must succeed.
pub(crate) struct Api(Arc<Rig>);

/// The shared server.
pub(crate) fn server() -> Api {
    Api(rig())
}

/// A server of a test's own.
pub(crate) fn own(rig: Rig) -> Api {
    Api(Arc::new(rig))
}

impl Api {
    /// Another server than the shared one.
    pub(crate) fn of(rig: Arc<Rig>) -> Self {
        Self(rig)
    }

    /// Starts a part of the cluster beside the server.
    pub(crate) fn part(&self, args: &[&str]) -> Part {
        self.0.server.part(args)
    }

    /// A namespace of the test's own.
    pub(crate) fn namespace(&self) -> String {
        self.0.namespace()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.0.get(path).ok()
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, object: &Value) -> Value {
        let created = self.try_post(path, object);
        assert!(created.code == 201, "{}", created.text());
        created.json()
    }

    pub(crate) fn try_post(&self, path: &str, object: &Value) -> Answer {
        self.0.create(path, object)
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, object: &Value) -> Value {
        self.try_put(path, object).ok()
    }

    pub(crate) fn try_put(&self, path: &str, object: &Value) -> Answer {
        self.0.update(path, object)
    }

    #[track_caller]
    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Value {
        self.try_merge(path, patch).ok()
    }

    pub(crate) fn try_merge(&self, path: &str, patch: &Value) -> Answer {
        self.0.patch(path, MERGE_PATCH, patch)
    }

    #[track_caller]
    pub(crate) fn strategic(&self, path: &str, patch: &Value) -> Value {
        self.0.patch(path, STRATEGIC_PATCH, patch).ok()
    }

    /// Deletes an object, or those that a path with a selector lists.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Value {
        self.0.delete(path).ok()
    }

    /// Deletes an object with options.
    #[track_caller]
    pub(crate) fn delete_with(&self, path: &str, options: &Value) -> Value {
        self.0.delete_with(path, options).ok()
    }

    /// Waits until there is no such object.
    #[track_caller]
    pub(crate) fn gone(&self, path: &str) {
        wait_for(&format!("the end of {path}"), || self.0.get(path).code == 404);
    }

    /// Waits until what is read there is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        wait_for(path, || {
            let answer = self.0.get(path);
            found = answer.json();
            answer.code == 200 && fits(&found)
        });
        found
    }

    pub(crate) fn watch(&self, path: &str) -> Watch {
        self.0.watch(path)
    }
}
