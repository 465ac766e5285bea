//! `flunders`: an API server of one group for the aggregator, its objects in memory.
//!
//! It believes the front proxy's headers of whoever shows a certificate of the front proxy's authority.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::http::{self, Answered, Asked};

const GROUP: &str = "wardle.example.com";
const VERSION: &str = "wardle.example.com/v1alpha1";

/// The objects by namespace and name, and the count of writes.
#[derive(Default)]
struct Flunders {
    objects: BTreeMap<(String, String), Value>,
    revision: u64,
}

/// Serves until the process ends.
pub(crate) async fn run() -> anyhow::Result<()> {
    let flunders = Arc::new(Mutex::new(Flunders::default()));
    let handler = move |request: Asked, _: SocketAddr| {
        let flunders = Arc::clone(&flunders);
        async move { flunders.lock().unwrap_or_else(PoisonError::into_inner).answer(&request) }
    };
    http::serve_tls(8443, http::mounted()?, handler).await
}

impl Flunders {
    fn answer(&mut self, request: &Asked) -> Answered {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let version = json!({ "groupVersion": VERSION, "version": "v1alpha1" });
        let group = json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version],
            "preferredVersion": version,
        });
        match path[..] {
            ["healthz" | "readyz" | "livez"] => http::text(200, "ok"),
            ["apis"] => {
                http::json(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] }))
            }
            ["apis", GROUP] => http::json(200, &group),
            ["apis", GROUP, "v1alpha1"] => http::json(200, &resources()),
            // Whom the aggregator has let in it names, and it shows who it is.
            ["apis", ..]
                if !["x-remote-user", http::KNOWN]
                    .iter()
                    .all(|name| request.headers().contains_key(*name)) =>
            {
                refused(401, "Unauthorized")
            }
            ["apis", GROUP, "v1alpha1", "flunders"] => self.collection(request, None),
            ["apis", GROUP, "v1alpha1", "namespaces", namespace, "flunders"] => {
                self.collection(request, Some(namespace))
            }
            ["apis", GROUP, "v1alpha1", "namespaces", namespace, "flunders", name] => {
                self.one(request, (namespace.to_owned(), name.to_owned()))
            }
            _ => refused(404, "NotFound"),
        }
    }

    fn collection(&mut self, request: &Asked, namespace: Option<&str>) -> Answered {
        match (request.method().as_str(), namespace) {
            ("GET", _) => {
                let inside = |key: &&(String, String)| namespace.is_none_or(|wanted| key.0 == wanted);
                let items: Vec<&Value> =
                    self.objects.iter().filter(|(key, _)| inside(key)).map(|(_, object)| object).collect();
                let list = json!({
                    "kind": "FlunderList", "apiVersion": VERSION, "items": items,
                    "metadata": { "resourceVersion": self.revision.to_string() },
                });
                http::json(200, &list)
            }
            ("POST", Some(namespace)) => {
                let Ok(object) = serde_json::from_slice::<Value>(request.body()) else {
                    return refused(400, "BadRequest");
                };
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let key = (namespace.to_owned(), name);
                if self.objects.contains_key(&key) {
                    return refused(409, "AlreadyExists");
                }
                http::json(201, &self.write(key, object))
            }
            ("DELETE", Some(namespace)) => {
                self.objects.retain(|key, _| key.0 != namespace);
                http::json(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => refused(405, "MethodNotAllowed"),
        }
    }

    fn one(&mut self, request: &Asked, key: (String, String)) -> Answered {
        let Some(found) = self.objects.get(&key).cloned() else { return refused(404, "NotFound") };
        match request.method().as_str() {
            "GET" => http::json(200, &found),
            "PUT" => match serde_json::from_slice(request.body()) {
                Ok(object) => http::json(200, &self.write(key, object)),
                Err(_) => refused(400, "BadRequest"),
            },
            "PATCH" => match serde_json::from_slice(request.body()) {
                Ok(patch) => {
                    let mut object = found;
                    merge(&mut object, &patch);
                    http::json(200, &self.write(key, object))
                }
                Err(_) => refused(400, "BadRequest"),
            },
            "DELETE" => {
                self.objects.remove(&key);
                http::json(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => refused(405, "MethodNotAllowed"),
        }
    }

    /// Keeps an object under the next resource version.
    fn write(&mut self, key: (String, String), mut object: Value) -> Value {
        self.revision += 1;
        object["apiVersion"] = json!(VERSION);
        object["kind"] = json!("Flunder");
        object["metadata"]["namespace"] = json!(key.0);
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.revision));
        }
        self.objects.insert(key, object.clone());
        object
    }
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION,
        "resources": [{
            "name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update"],
        }],
    })
}

fn refused(code: u16, reason: &str) -> Answered {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason,
    });
    http::json(code, &status)
}

/// A merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    for (name, value) in fields {
        match target.as_object_mut() {
            Some(object) if value.is_null() => drop(object.remove(name)),
            _ => merge(&mut target[name], value),
        }
    }
}
