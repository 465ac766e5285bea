//! The life of an object of any kind: what the specs named "should support … API operations" and "should run through the
//! life cycle of …" ask of every resource.

use serde_json::{Value, json};

use crate::api::Api;

/// What a life cycle has to know about a resource.
pub(crate) struct Life<'a> {
    /// The group and version: `batch/v1`, `v1`.
    pub(crate) version: &'a str,
    /// The plural in paths.
    pub(crate) resource: &'a str,
    /// The kind in objects.
    pub(crate) kind: &'a str,
    /// Where its objects are; none for kinds of the cluster.
    pub(crate) namespace: Option<&'a str>,
    /// The names of three objects.
    pub(crate) names: [&'a str; 3],
    /// What the objects hold besides their metadata.
    pub(crate) body: Value,
    /// The phase that a controller gives every new object.
    pub(crate) phase: Option<&'a str>,
    /// Two statuses to set one after the other, where the kind has one.
    pub(crate) status: Option<[Value; 2]>,
}

impl Life<'_> {
    /// `/apis/batch/v1`, `/api/v1`.
    fn base(&self) -> String {
        let root = if self.version.contains('/') { "/apis" } else { "/api" };
        format!("{root}/{}", self.version)
    }

    /// The collection's path.
    pub(crate) fn path(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", self.base(), self.resource),
            None => format!("{}/{}", self.base(), self.resource),
        }
    }

    /// The path of one of the objects.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path())
    }

    /// The label that all objects of this test carry.
    fn label(&self) -> (String, String) {
        ("conformance".to_owned(), format!("{}-{}", self.resource, self.names[0].replace(':', "-")))
    }

    /// `?labelSelector=…` for the objects of this test.
    pub(crate) fn mine(&self) -> String {
        let (key, value) = self.label();
        format!("labelSelector={key}%3D{value}")
    }

    /// The object of this name as a client sends it.
    pub(crate) fn object(&self, name: &str) -> Value {
        let (key, value) = self.label();
        let mut object = self.body.clone();
        object["apiVersion"] = json!(self.version);
        object["kind"] = json!(self.kind);
        object["metadata"] = json!({ "name": name, "labels": { key: value } });
        object
    }

    /// The whole of it.
    pub(crate) fn run(&self, api: &Api) {
        self.discover(api);
        let [name, second, third] = self.names;
        let created = self.create(api);
        let version = self.list(api, 3);
        let mut events = api.watch(&format!("{}?{}&resourceVersion={version}", self.path(), self.mine()));
        let annotate = json!({ "metadata": { "annotations": { "patched": "true" } } });
        let patched = api.merge(&self.at(name), &annotate);
        assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
        assert!(revision(&created) < revision(&patched), "a patch moves the resource version");
        let updated = change(api, &self.at(name), |object| {
            object["metadata"]["annotations"]["updated"] = json!("true");
        });
        assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
        assert_eq!(updated["metadata"]["annotations"]["patched"], "true");
        assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
        events.until("MODIFIED", |object| object["metadata"]["annotations"]["patched"] == "true");
        events.until("MODIFIED", |object| object["metadata"]["annotations"]["updated"] == "true");
        self.set_status(api);
        api.delete(&self.at(name));
        api.gone(&self.at(name));
        events.until("DELETED", |object| object["metadata"]["name"] == name);
        self.list(api, 2);
        api.delete(&format!("{}?{}", self.path(), self.mine()));
        for name in [second, third] {
            api.gone(&self.at(name));
        }
        self.list(api, 0);
    }

    /// The resource and its group are in the discovery documents.
    fn discover(&self, api: &Api) {
        let has = |list: &Value, key: &str, wanted: &str| {
            list.as_array().is_some_and(|all| all.iter().any(|entry| entry[key] == wanted))
        };
        if let Some((group, _)) = self.version.split_once('/') {
            assert!(has(&api.get("/apis")["groups"], "name", group), "{group} is in /apis");
            let group = api.get(&format!("/apis/{group}"));
            assert!(has(&group["versions"], "groupVersion", self.version), "{group}");
        }
        let resources = api.get(&self.base());
        assert_eq!(resources["groupVersion"], self.version);
        assert!(has(&resources["resources"], "name", self.resource), "{resources}");
        if self.status.is_some() {
            assert!(
                has(&resources["resources"], "name", &format!("{}/status", self.resource)),
                "{resources}"
            );
        }
    }

    /// Makes the three objects and reads the first one back.
    fn create(&self, api: &Api) -> Value {
        for name in self.names {
            let created = api.post(&self.path(), &self.object(name));
            assert_eq!(created["kind"], self.kind);
            assert_eq!(created["metadata"]["name"], name);
            assert!(revision(&created) > 0 && created["metadata"]["uid"].is_string(), "{created}");
            if let Some(phase) = self.phase {
                api.until(&self.at(name), |object| object["status"]["phase"] == phase);
            }
        }
        let got = api.get(&self.at(self.names[0]));
        contains(&got, &self.body);
        got
    }

    /// Lists the objects, in their namespace and in all, and returns the list's resource version.
    fn list(&self, api: &Api, count: usize) -> String {
        let list = api.get(&format!("{}?{}", self.path(), self.mine()));
        assert_eq!(list["kind"], format!("{}List", self.kind));
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count), "{list}");
        let all = api.get(&format!("{}/{}?{}", self.base(), self.resource, self.mine()));
        assert_eq!(all["items"].as_array().map(Vec::len), Some(count), "{all}");
        list["metadata"]["resourceVersion"].as_str().expect("a list has a version").to_owned()
    }

    /// Patches the status and updates it, through its own path only.
    fn set_status(&self, api: &Api) {
        let Some([patched, updated]) = &self.status else { return };
        let path = format!("{}/status", self.at(self.names[0]));
        contains(&api.merge(&path, &json!({ "status": patched }))["status"], patched);
        let object = change(api, &path, |object| {
            assert_eq!(object["kind"], self.kind);
            contains(&object["status"], patched);
            // As a client does who has read it: what it does not name stays.
            for (name, value) in updated.as_object().into_iter().flatten() {
                object["status"][name] = value.clone();
            }
        });
        contains(&object["status"], updated);
        let spec = api.get(&self.at(self.names[0]));
        contains(&spec["status"], updated);
        contains(&spec, &self.body);
    }
}

/// Reads, edits and writes an object, again when somebody else (a controller) wrote in between.
pub(crate) fn change(api: &Api, path: &str, edit: impl Fn(&mut Value)) -> Value {
    loop {
        let mut object = api.get(path);
        edit(&mut object);
        let answer = api.try_put(path, &object);
        if answer.code != 409 {
            return answer.ok();
        }
    }
}

/// The resource version as the number that it is.
pub(crate) fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Everything in `wanted` is in `got`; `got` may hold more (what the server adds by default).
pub(crate) fn contains(got: &Value, wanted: &Value) {
    match (got, wanted) {
        (Value::Object(_), Value::Object(fields)) => {
            for (name, value) in fields {
                contains(&got[name], value);
            }
        }
        (Value::Array(have), Value::Array(want)) => {
            assert_eq!(have.len(), want.len(), "{got} for {wanted}");
            for (got, wanted) in have.iter().zip(want) {
                contains(got, wanted);
            }
        }
        _ => assert_eq!(got, wanted),
    }
}
