//! A cluster in a map, for tests: plans are carried out at once, and loops run until nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::object::{self, labels, owners, set, text};
use crate::observed::{Change, Failure, Key, Loop, Observed, Resource, View, Watches};
use crate::plan::{Action, Ask, Plan, Target};
use crate::settings::Settings;

/// What changed, before and after.
type Step = (GroupVersionResource, Option<Arc<Value>>, Option<Arc<Value>>);

pub(crate) struct World {
    objects: BTreeMap<(String, String, String), Arc<Value>>,
    revision: u64,
    names: u64,
    /// The name of what was made last.
    newest: String,
    pub(crate) now: i64,
    pub(crate) settings: Settings,
    pub(crate) events: Vec<String>,
    pub(crate) log: Vec<String>,
    /// Refuses a create of this resource.
    pub(crate) refuse: Option<(&'static str, Status)>,
    changes: Vec<Step>,
    failures: BTreeMap<(String, Key), Failure>,
    memories: BTreeMap<(String, Key), Value>,
    /// What is answered to a path, or to `scale` of a name.
    pub(crate) answers: BTreeMap<String, Value>,
    pub(crate) deadlines: Vec<Duration>,
    /// When keys want to be looked at again, in milliseconds.
    due: BTreeMap<(String, Key), i64>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            revision: 1,
            names: 0,
            newest: String::new(),
            now: 1_767_225_600,
            settings: Settings {
                root_ca: "CA".to_owned(),
                approves_certificates: true,
                signs_certificates: true,
                ..Settings::default()
            },
            events: Vec::new(),
            log: Vec::new(),
            refuse: None,
            changes: Vec::new(),
            failures: BTreeMap::new(),
            memories: BTreeMap::new(),
            answers: BTreeMap::new(),
            deadlines: Vec::new(),
            due: BTreeMap::new(),
        }
    }
}

const RESOURCES: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "services", "Service", true),
    ("", "v1", "endpoints", "Endpoints", true),
    ("", "v1", "secrets", "Secret", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "serviceaccounts", "ServiceAccount", true),
    ("", "v1", "resourcequotas", "ResourceQuota", true),
    ("", "v1", "replicationcontrollers", "ReplicationController", true),
    ("", "v1", "persistentvolumes", "PersistentVolume", false),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "statefulsets", "StatefulSet", true),
    ("apps", "v1", "daemonsets", "DaemonSet", true),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", true),
    ("batch", "v1", "jobs", "Job", true),
    ("batch", "v1", "cronjobs", "CronJob", true),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false),
    ("coordination.k8s.io", "v1", "leases", "Lease", true),
    ("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", false),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", false),
    ("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", false),
    ("networking.k8s.io", "v1", "ipaddresses", "IPAddress", false),
    ("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", false),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true),
    ("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", true),
    ("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate", true),
    ("example.com", "v1", "widgets", "Widget", true),
    ("example.com", "v1", "racks", "Rack", false),
];

fn gvr(resource: &str) -> GroupVersionResource {
    let found = RESOURCES.iter().find(|row| row.2 == resource).unwrap();
    GroupVersionResource::new(found.0, found.1, found.2)
}

impl World {
    /// Puts an object there; what it lacks of metadata is added.
    pub(crate) fn put(&mut self, resource: &str, mut value: Value) {
        let row = RESOURCES.iter().find(|row| row.2 == resource).unwrap();
        let gvr = gvr(resource);
        set(&mut value, &["apiVersion"], json!(gvr.api_version()));
        set(&mut value, &["kind"], json!(row.3));
        if object::uid(&value).is_empty() {
            self.names += 1;
            set(&mut value, &["metadata", "uid"], json!(format!("uid-{}", self.names)));
        }
        if object::created(&value) == 0 {
            set(&mut value, &["metadata", "creationTimestamp"], json!(object::time_text(self.now)));
        }
        self.write(&gvr, value);
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        View::get(self, &gvr(resource), namespace, name)
    }

    pub(crate) fn all(&self, resource: &str) -> Vec<Arc<Value>> {
        View::list(self, &gvr(resource), None)
    }

    /// Changes an object as a user would.
    pub(crate) fn change(
        &mut self,
        resource: &str,
        namespace: &str,
        name: &str,
        how: impl FnOnce(&mut Value),
    ) {
        let mut value = (*self.get(resource, namespace, name).unwrap()).clone();
        let before = value["spec"].clone();
        how(&mut value);
        if value["spec"] != before && object::generation(&value) > 0 {
            let generation = object::generation(&value) + 1;
            set(&mut value, &["metadata", "generation"], json!(generation));
        }
        self.write(&gvr(resource), value);
    }

    pub(crate) fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        self.gone(&gvr(resource), namespace, name);
    }

    fn write(&mut self, gvr: &GroupVersionResource, mut value: Value) {
        self.revision += 1;
        set(&mut value, &["metadata", "resourceVersion"], json!(self.revision.to_string()));
        let key =
            (gvr.resource.clone(), object::namespace(&value).to_owned(), object::name(&value).to_owned());
        let held = gvr.resource == "namespaces" && !object::items(&value, &["spec", "finalizers"]).is_empty();
        if object::is_deleting(&value) && object::finalizers(&value).is_empty() && !held {
            self.objects.insert(key.clone(), Arc::new(value));
            self.gone(gvr, &key.1, &key.2);
            return;
        }
        let value = Arc::new(value);
        let old = self.objects.insert(key, value.clone());
        self.changes.push((gvr.clone(), old, Some(value)));
    }

    fn gone(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str) {
        let key = (gvr.resource.clone(), namespace.to_owned(), name.to_owned());
        if let Some(old) = self.objects.remove(&key) {
            self.changes.push((gvr.clone(), Some(old), None));
        }
    }

    /// Runs loops until none has anything to do.
    pub(crate) fn settle(&mut self, loops: &[Loop]) {
        self.deadlines.clear();
        let mut pending: BTreeSet<(usize, Key)> = BTreeSet::new();
        for ((name, key), _) in self.due.iter().filter(|(_, due)| **due <= self.now * 1000) {
            pending.extend(loops.iter().position(|one| one.name == name).map(|at| (at, key.clone())));
        }
        for _ in 0..2000 {
            self.dispatch(loops, &mut pending);
            let Some((at, key)) = pending.pop_first() else { return };
            self.run(&loops[at], &key, &mut pending, at);
        }
        panic!("does not settle: {:#?}", &self.log[self.log.len().saturating_sub(30)..]);
    }

    /// Lets time go by, and every key of every object be looked at again.
    pub(crate) fn pass(&mut self, seconds: i64, loops: &[Loop]) {
        self.now += seconds;
        let all: Vec<_> = self.objects.iter().map(|(key, value)| (gvr(&key.0), value.clone())).collect();
        self.changes.extend(all.into_iter().map(|(gvr, value)| (gvr, Some(value.clone()), Some(value))));
        self.settle(loops);
    }

    fn dispatch(&mut self, loops: &[Loop], pending: &mut BTreeSet<(usize, Key)>) {
        for (gvr, old, new) in std::mem::take(&mut self.changes) {
            let change = Change { resource: &gvr, old: old.as_deref(), new: new.as_deref() };
            for (at, one) in loops.iter().enumerate() {
                let watched = match one.watches {
                    Watches::These(list) => list.iter().any(|resource| *resource() == gvr),
                    Watches::Everything => true,
                };
                if watched {
                    pending.extend((one.keys)(&change, self).into_iter().map(|key| (at, key)));
                }
            }
        }
    }

    fn run(&mut self, one: &Loop, key: &Key, pending: &mut BTreeSet<(usize, Key)>, at: usize) {
        let id = (one.name.to_owned(), key.clone());
        let failure = self.failures.remove(&id);
        self.due.remove(&id);
        let plan = self.plan(one, key, failure.as_ref());
        self.deadlines.extend(plan.look_again_after);
        if let Some(after) = plan.look_again_after {
            self.due.insert(id.clone(), self.now * 1000 + after.as_millis() as i64);
        }
        if let Some(memory) = plan.remember {
            self.memories.insert(id.clone(), memory);
        }
        for action in plan.actions {
            self.log.push(format!("{}: {}", one.name, action.summary()));
            if let Err(status) = self.act(&action) {
                let stopped = failure.as_ref().is_some_and(|failure| failure.status == status);
                let resource = match action.bare() {
                    Action::Create { resource, .. } => resource.resource.clone(),
                    _ => String::new(),
                };
                self.failures
                    .insert(id, Failure { action: action.summary(), resource, status: status.clone() });
                // A refusal that stays the same would be retried for ever.
                if status.code != 0 && !stopped {
                    pending.insert((at, key.clone()));
                }
                return;
            }
        }
    }

    pub(crate) fn plan(&self, one: &Loop, key: &Key, failure: Option<&Failure>) -> Plan {
        let now = Timestamp::from_second(self.now).unwrap();
        let memory = self.memories.get(&(one.name.to_owned(), key.clone())).unwrap_or(&Value::Null);
        let decide = |answers: &[(Ask, Result<Value, Status>)]| {
            (one.reconcile)(&Observed {
                key,
                view: self,
                now,
                failure,
                settings: &self.settings,
                memory,
                answers,
            })
        };
        let mut answers = Vec::new();
        let mut plan = decide(&answers);
        while !plan.asks.is_empty() {
            answers.extend(plan.asks.into_iter().map(|ask| (ask.clone(), self.answer(&ask))));
            plan = decide(&answers);
        }
        plan
    }

    fn answer(&self, ask: &Ask) -> Result<Value, Status> {
        let path = match ask {
            Ask::Part { target, part } => format!("{}/{}/{part}", target.resource.resource, target.name),
            Ask::Path(path) => path.clone(),
        };
        let none = || Status::new(404, "NotFound", format!("nothing at {path}"));
        self.answers.get(&path).cloned().ok_or_else(none)
    }

    fn act(&mut self, action: &Action) -> Result<(), Status> {
        match action {
            Action::Create { resource, namespace, object } => self.create(resource, namespace, object),
            Action::Update { resource, part, object } => self.update(resource, *part, object),
            Action::Patch { target, patch, strategic, .. } => self.patch(target, patch, *strategic),
            Action::Apply { target, config, .. } => self.patch(target, config, false),
            Action::Delete { target, propagation, .. } => self.delete(target, *propagation),
            Action::DeleteAll { resource, namespace, propagation } => {
                for object in View::list(self, resource, Some(namespace)) {
                    self.delete(&Target::of(resource, &object), Some(propagation))?;
                }
                Ok(())
            }
            Action::Present(target) => {
                self.guard(self.target(target).is_some_and(|found| !object::is_deleting(&found)))
            }
            Action::Absent(target) => self.guard(self.target(target).is_none()),
            Action::Empty { resource, namespace } => self.guard(View::count(self, resource, namespace) == 0),
            Action::Approve { request } => {
                let mut approved = request.clone();
                let now = object::time_text(self.now);
                let condition = json!({"type": "Approved", "status": "True", "lastUpdateTime": now});
                set(&mut approved, &["status", "conditions"], json!([condition]));
                self.update(crate::known::signing_requests(), Some("status"), &approved)
            }
            Action::Sign { request } => {
                let mut signed = request.clone();
                set(&mut signed, &["status", "certificate"], json!("signed"));
                self.update(crate::known::signing_requests(), Some("status"), &signed)
            }
            Action::Event(event) => {
                self.events.push(format!("{}: {}", event.reason, event.message));
                Ok(())
            }
            Action::Told { action, tale } => {
                let end = self.act(action);
                let name = match &**action {
                    Action::Create { .. } => self.newest.clone(),
                    Action::Delete { target, .. } => target.name.clone(),
                    Action::Update { object, .. } => object::name(object).to_owned(),
                    _ => String::new(),
                };
                let event = tale.event(match &end {
                    Ok(()) => Ok(&name),
                    Err(status) => Err(&status.message),
                });
                self.events.push(format!("{}: {}", event.reason, event.message));
                end
            }
        }
    }

    fn guard(&self, holds: bool) -> Result<(), Status> {
        if holds { Ok(()) } else { Err(Status::new(0, "", "guard")) }
    }

    fn target(&self, target: &Target) -> Option<Arc<Value>> {
        let found = View::get(self, &target.resource, &target.namespace, &target.name)?;
        (target.uid.is_empty() || object::uid(&found) == target.uid).then_some(found)
    }

    fn create(&mut self, gvr: &GroupVersionResource, namespace: &str, value: &Value) -> Result<(), Status> {
        if let Some((resource, status)) = &self.refuse
            && *resource == gvr.resource
        {
            return Err(status.clone());
        }
        let mut value = value.clone();
        if object::name(&value).is_empty() {
            self.names += 1;
            let name = format!("{}{:05}", text(&value, &["metadata", "generateName"]), self.names);
            set(&mut value, &["metadata", "name"], json!(name));
        }
        if !namespace.is_empty() {
            set(&mut value, &["metadata", "namespace"], json!(namespace));
        }
        if View::get(self, gvr, namespace, object::name(&value)).is_some() {
            return Err(Status::already_exists(&gvr.group_resource(), object::name(&value)));
        }
        self.newest = object::name(&value).to_owned();
        set(&mut value, &["metadata", "generation"], json!(1));
        object::remove(&mut value, &["metadata", "uid"]);
        self.put(&gvr.resource.clone(), value);
        Ok(())
    }

    fn update(
        &mut self,
        gvr: &GroupVersionResource,
        part: Option<&str>,
        value: &Value,
    ) -> Result<(), Status> {
        let (namespace, name) = (object::namespace(value).to_owned(), object::name(value).to_owned());
        let Some(old) = View::get(self, gvr, &namespace, &name) else {
            return Err(Status::not_found(&gvr.group_resource(), &name));
        };
        let revision = object::revision(value);
        if !revision.is_empty() && revision != object::revision(&old) {
            return Err(Status::conflict(&gvr.group_resource(), &name, "the object has been modified"));
        }
        let mut value = value.clone();
        match part {
            Some("scale") => {
                let replicas = value["spec"]["replicas"].clone();
                value = (*old).clone();
                set(&mut value, &["spec", "replicas"], replicas);
            }
            // Metadata comes with a status, as the server has it; it does not count.
            Some("status") => {
                let (status, metadata) = (value["status"].clone(), value["metadata"].clone());
                value = (*old).clone();
                set(&mut value, &["status"], status);
                set(&mut value, &["metadata"], metadata);
            }
            _ => {
                set(&mut value, &["status"], old["status"].clone());
                let annotated = gvr.resource == "deployments"
                    && value["metadata"]["annotations"] != old["metadata"]["annotations"];
                if annotated || value["spec"] != old["spec"] {
                    set(&mut value, &["metadata", "generation"], json!(object::generation(&old) + 1));
                }
            }
        }
        set(&mut value, &["metadata", "resourceVersion"], json!(object::revision(&old)));
        if value == *old {
            return Ok(());
        }
        self.write(gvr, value);
        Ok(())
    }

    fn patch(&mut self, target: &Target, patch: &Value, strategic: bool) -> Result<(), Status> {
        let Some(found) = self.target(target) else {
            return Err(Status::not_found(&target.resource.group_resource(), &target.name));
        };
        let mut value = (*found).clone();
        let revision = text(patch, &["metadata", "resourceVersion"]);
        if !revision.is_empty() && revision != object::revision(&found) {
            return Err(Status::conflict(
                &target.resource.group_resource(),
                &target.name,
                "the object has been modified",
            ));
        }
        merge(&mut value, patch, strategic);
        self.write(&target.resource, value);
        Ok(())
    }

    fn delete(&mut self, target: &Target, propagation: Option<&str>) -> Result<(), Status> {
        let Some(found) = self.target(target) else { return Ok(()) };
        let finalizer = match propagation {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let mut value = (*found).clone();
        if let Some(finalizer) = finalizer
            && !object::is_deleting(&value)
        {
            value = object::with_finalizer(&value, finalizer);
        }
        if object::finalizers(&value).is_empty() {
            self.gone(&target.resource, &target.namespace, &target.name);
        } else if !object::is_deleting(&value) {
            set(&mut value, &["metadata", "deletionTimestamp"], json!(object::time_text(self.now)));
            self.write(&target.resource, value);
        }
        Ok(())
    }

    /// Deletes as a user would.
    pub(crate) fn user_deletes(&mut self, resource: &str, namespace: &str, name: &str, propagation: &str) {
        let target = Target {
            resource: gvr(resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
        };
        self.delete(&target, Some(propagation)).unwrap();
    }
}

/// A merge by names; of lists it knows owner references and `$patch: delete` by identity.
fn merge(value: &mut Value, patch: &Value, strategic: bool) {
    let Some(patch) = patch.as_object() else {
        *value = patch.clone();
        return;
    };
    for (key, new) in patch {
        if new.is_null() {
            object::remove(value, &[key]);
        } else if let Some(key) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = new.as_array().unwrap();
            let mut all = object::items(value, &[key]).to_vec();
            all.retain(|found| !gone.contains(found));
            set(value, &[key], Value::Array(all));
        } else if strategic && key == "finalizers" {
            let mut all = object::items(value, &[key]).to_vec();
            all.extend(new.as_array().unwrap().iter().cloned());
            all.dedup();
            set(value, &[key], Value::Array(all));
        } else if strategic && key == "conditions" {
            let mut all = object::items(value, &[key]).to_vec();
            for one in new.as_array().unwrap() {
                all.retain(|found| found["type"] != one["type"]);
                all.push(one.clone());
            }
            set(value, &[key], Value::Array(all));
        } else if strategic && key == "ownerReferences" {
            let mut all = object::items(value, &[key]).to_vec();
            for one in new.as_array().unwrap() {
                all.retain(|found| found["uid"] != one["uid"]);
                if one["$patch"] != "delete" {
                    all.push(one.clone());
                }
            }
            set(value, &[key], Value::Array(all));
        } else if key == "uid" {
            assert_eq!(value[key], *new);
        } else if new.is_object() && value.get(key).is_some_and(Value::is_object) {
            merge(&mut value[key], new, strategic);
        } else {
            set(value, &[key], new.clone());
        }
    }
}

impl View for World {
    fn get(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&(resource.resource.clone(), namespace.to_owned(), name.to_owned())).cloned()
    }

    fn list(&self, resource: &GroupVersionResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.objects
            .iter()
            .filter(|(key, _)| key.0 == resource.resource && namespace.is_none_or(|name| key.1 == name))
            .map(|(_, value)| value.clone())
            .collect()
    }

    fn select(
        &self,
        resource: &GroupVersionResource,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Vec<Arc<Value>> {
        let mut found = self.list(resource, Some(namespace));
        found.retain(|object| selector.matches(&labels(object)));
        found
    }

    fn owned(&self, resource: &GroupVersionResource, uid: &str) -> Vec<Arc<Value>> {
        let mut found = self.list(resource, None);
        found.retain(|object| owners(object).iter().any(|owner| owner["uid"] == uid));
        found
    }

    fn dependents(&self, uid: &str) -> Vec<Key> {
        let names = |object: &Value| owners(object).iter().any(|owner| owner["uid"] == uid);
        let found = self.objects.iter().filter(|(_, object)| names(object));
        found.map(|((resource, namespace, name), _)| Key::new(&gvr(resource), namespace, name)).collect()
    }

    fn resources(&self) -> Arc<Vec<Resource>> {
        let rows = RESOURCES.iter().map(|(group, version, resource, kind, namespaced)| Resource {
            gvr: GroupVersionResource::new(*group, *version, *resource),
            kind: (*kind).to_owned(),
            namespaced: *namespaced,
            delete_collection: true,
        });
        Arc::new(rows.collect())
    }
}
