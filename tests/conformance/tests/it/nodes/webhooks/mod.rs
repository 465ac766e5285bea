//! `[sig-api-machinery] AdmissionWebhook`: webhooks that pods answer.

mod custom;
mod mutating;
mod settings;
mod validating;

use std::cell::RefCell;

use serde_json::{Value, json};
use testkit::wait_until;

use super::served::{self, NAME, PORT};
use super::{PATIENCE, Shared, cluster};
use crate::rig::{Answer, unique};

/// The two kinds of webhook configurations.
#[derive(Clone, Copy)]
enum Kind {
    Validating,
    Mutating,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Validating => "ValidatingWebhookConfiguration",
            Self::Mutating => "MutatingWebhookConfiguration",
        }
    }

    /// Where its objects are.
    fn path(self) -> String {
        let plural = format!("{}s", self.name().to_lowercase());
        format!("/apis/admissionregistration.k8s.io/v1/{plural}")
    }
}

/// A namespace with a webhook server, and the configurations that lead to it, which end with this.
struct Hooked {
    cluster: Shared,
    namespace: String,
    authority: String,
    made: RefCell<Vec<String>>,
}

impl Hooked {
    fn start() -> Self {
        let cluster = cluster();
        let namespace = cluster.namespace();
        let authority = served::start(&cluster, &namespace, &["webhook"], None);
        Self { cluster, namespace, authority, made: RefCell::default() }
    }

    /// A webhook at a path, for what these rules say within the namespace; `more` changes it.
    fn hook(&self, path: &str, rule: &Value, more: Value) -> Value {
        let mut hook = json!({
            "name": format!("{}.k8s.io", path.trim_start_matches('/').replace('/', "-")),
            "rules": [rule],
            "clientConfig": {
                "service": { "namespace": self.namespace, "name": NAME, "path": path, "port": PORT },
                "caBundle": self.authority,
            },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.namespace } },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            if value.is_null() {
                hook.as_object_mut().unwrap().remove(name);
            } else {
                hook[name] = value.clone();
            }
        }
        hook
    }

    /// Makes a configuration of these webhooks; its path.
    fn configure(&self, kind: Kind, labels: &Value, hooks: &[Value]) -> String {
        let object = configuration(kind, labels, hooks);
        self.cluster.post(&kind.path(), &object);
        let path = format!("{}/{}", kind.path(), object["metadata"]["name"].as_str().unwrap());
        self.made.borrow_mut().push(path.clone());
        path
    }

    /// Where the namespace's objects of a kind of the core are.
    fn at(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    /// Asks until the answer fits, as a configuration holds a moment after it was written.
    #[track_caller]
    fn until(&self, what: &str, ask: impl FnMut() -> Answer, fits: impl Fn(&Answer) -> bool) -> Answer {
        until(what, ask, fits)
    }

    /// Makes a config map with this data, which the next one may have too.
    fn config_map(&self, data: &Value) -> Answer {
        let object = config_map(&unique("map"), data);
        self.cluster.try_post(&self.at("configmaps"), &object)
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        for path in self.made.borrow().iter() {
            drop(self.cluster.rig().delete(path));
        }
    }
}

#[track_caller]
fn until(what: &str, mut ask: impl FnMut() -> Answer, fits: impl Fn(&Answer) -> bool) -> Answer {
    let mut last = None;
    wait_until(PATIENCE, || {
        let answer = ask();
        let met = fits(&answer);
        last = Some(answer);
        met
    });
    let last = last.unwrap();
    assert!(fits(&last), "{what}: {} {}", last.code, last.text());
    last
}

fn configuration(kind: Kind, labels: &Value, hooks: &[Value]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind.name(),
        "metadata": { "name": unique("e2e-hooks"), "labels": labels },
        "webhooks": hooks,
    })
}

fn rule(operations: &[&str], group: &str, versions: &[&str], resources: &[&str]) -> Value {
    json!({ "operations": operations, "apiGroups": [group], "apiVersions": versions, "resources": resources })
}

/// The rule of config maps that are made.
fn maps() -> Value {
    rule(&["CREATE"], "", &["v1"], &["configmaps"])
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// What validating webhooks refuse.
fn unwanted() -> Value {
    json!({ "webhook-e2e-test": "webhook-disallow" })
}

/// Whether a refusal comes from a webhook with these words.
fn denied(answer: &Answer, words: &str) -> bool {
    answer.code >= 400 && answer.text().contains("denied") && answer.text().contains(words)
}
