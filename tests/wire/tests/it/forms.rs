//! What holds for every form that objects have beside JSON.

use serde_json::{Value, json};
use testkit::kube::KubeServer;
use wire::connection::{Answer, Pool};
use wire::objects;
use wire::seeds::{self, NAMESPACE};

const JSON: &str = "application/json";

/// A form of objects.
pub(crate) struct Form {
    pub(crate) media_type: &'static str,
    pub(crate) encode: fn(&Value) -> Vec<u8>,
    pub(crate) decode: fn(&[u8]) -> Value,
    /// Whether it says all that JSON says: an empty text, and of which type an embedded object is.
    pub(crate) is_exact: bool,
}

impl Form {
    /// Every kind goes in in this form and comes out as JSON, and the other way round; lists, too.
    pub(crate) fn every_kind(&self) {
        served(async |pool| {
            let mut created = 0;
            for mut object in objects::all().unwrap() {
                let kind = objects::kind_of(&object).unwrap();
                let collection = objects::collection(kind, NAMESPACE);
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                // Most get a name of their own: a service's controller makes endpoints of the service's.
                let kind_name = object["kind"].as_str().unwrap().to_lowercase();
                let fixed =
                    ["apiservice", "customresourcedefinition", "ipaddress"].contains(&kind_name.as_str());
                let name = if fixed { name } else { format!("{name}-{kind_name}") };
                object["metadata"]["name"] = json!(name);
                // A deployment adopts a replica set that it selects, and ends it as an old one.
                object["metadata"]["finalizers"] = json!(["example.com/held"]);
                let answer = self.send(pool, "POST", &collection, (self.encode)(&object)).await;
                if answer.code == 404 {
                    continue;
                }
                assert_eq!(answer.code, 201, "{object}: {}", answer.text());
                created += 1;
                has(&(self.decode)(&answer.body), &object, &format!("{collection} {name}"));
                self.round(pool, &format!("{collection}/{name}"), &object).await;
                self.listed(pool, &collection).await;
            }
            assert!(created >= 60, "only {created} kinds are served");
        });
    }

    async fn send(&self, pool: &Pool, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let headers = [("content-type", self.media_type), ("accept", self.media_type)];
        pool.send(method, path, &headers, body).await.unwrap()
    }

    async fn get(&self, pool: &Pool, path: &str) -> (Value, Vec<u8>) {
        let answer = get(pool, path, self.media_type).await;
        assert_eq!(answer.headers["content-type"], self.media_type, "{path}");
        ((self.decode)(&answer.body), answer.body.to_vec())
    }

    /// Reads an object in both forms and writes it back as it is, which changes nothing. Its controller
    /// may write in between: then it is read again.
    async fn round(&self, pool: &Pool, path: &str, sent: &Value) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            assert!(std::time::Instant::now() < deadline, "{path} changes all the time");
            let as_json = get(pool, path, JSON).await.json().unwrap();
            let (read, bytes) = self.get(pool, path).await;
            if as_json["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"] {
                continue;
            }
            self.same(&read, &as_json, path);
            has(&as_json, sent, path);
            let back = self.send(pool, "PUT", &format!("{path}?dryRun=All"), bytes).await;
            if back.code == 409 {
                continue;
            }
            assert_eq!(back.code, 200, "{path}: {}", back.text());
            self.same(&settled((self.decode)(&back.body)), &settled(read), path);
            return;
        }
    }

    /// Lists a collection in both forms, at the same revision.
    async fn listed(&self, pool: &Pool, path: &str) {
        let newest = get(pool, path, JSON).await.json().unwrap();
        let revision = newest["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{path}?resourceVersion={revision}&resourceVersionMatch=Exact");
        let (read, _) = self.get(pool, &path).await;
        let as_json = get(pool, &path, JSON).await.json().unwrap();
        let empty = json!([]);
        let items = |list: &Value| list.get("items").unwrap_or(&empty).clone();
        self.same(&items(&read), &items(&as_json), &path);
        assert_eq!((&read["kind"], &read["metadata"]), (&as_json["kind"], &as_json["metadata"]), "{path}");
    }

    #[track_caller]
    fn same(&self, one: &Value, other: &Value, path: &str) {
        if self.is_exact { assert_eq!(one, other, "{path}") } else { same(one, other, path) }
    }
}

/// Runs with a server that has the seeds' objects.
pub(crate) fn served(run: impl AsyncFnOnce(&Pool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = KubeServer::start();
    runtime.block_on(async {
        let pool = Pool::connect(&server.kubeconfig(), 1).await.unwrap();
        seeds::prepare(&pool).await.unwrap();
        run(&pool).await;
    });
}

/// Reads in a form.
pub(crate) async fn get(pool: &Pool, path: &str, accept: &str) -> Answer {
    pool.send("GET", path, &[("accept", accept)], "").await.unwrap()
}

/// Without what the server changes by itself between two reads.
fn settled(mut object: Value) -> Value {
    for field in ["managedFields", "resourceVersion"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Both are equal; the message says where they are not.
#[track_caller]
fn same(one: &Value, other: &Value, path: &str) {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            // An embedded claim has no type on the wire.
            let untyped = path.ends_with("volumeClaimTemplates");
            let names = fields.keys().chain(others.keys());
            for name in names.filter(|name| !untyped || !["apiVersion", "kind"].contains(&name.as_str())) {
                same(&one[name], &other[name], &format!("{path} {name}"));
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            items.iter().zip(others).for_each(|(one, other)| same(one, other, path));
        }
        // On the wire a text that is empty is not there: events of loops have one.
        (Value::Null, Value::String(text)) if text.is_empty() => {}
        (one, other) if one.is_number() => assert_eq!(one.as_f64(), other.as_f64(), "{path}"),
        (one, other) => assert_eq!(one, other, "{path}"),
    }
}

/// All that was sent is there.
#[track_caller]
pub(crate) fn has(found: &Value, sent: &Value, path: &str) {
    match (found, sent) {
        (Value::Object(found), Value::Object(sent)) => {
            for (name, value) in sent {
                let below = format!("{path} {name}");
                let changed = ["status", "nodeInfo", "creationTimestamp"].contains(&name.as_str());
                if !changed {
                    has(found.get(name).unwrap_or(&Value::Null), value, &below);
                }
            }
        }
        (Value::Array(found), Value::Array(sent)) => {
            assert!(found.len() >= sent.len(), "{path}");
            found.iter().zip(sent).for_each(|(found, sent)| has(found, sent, path));
        }
        // What is empty goes without saying.
        (Value::Null, sent) => {
            let empty =
                sent == &json!(false) || sent == &json!("") || sent == &json!(0) || sent == &json!([]);
            assert!(empty || sent.is_null(), "{path}: {sent} is gone");
        }
        (found, sent) if found.is_number() => assert_eq!(found.as_f64(), sent.as_f64(), "{path}"),
        (found, sent) => assert_eq!(found, sent, "{path}"),
    }
}
