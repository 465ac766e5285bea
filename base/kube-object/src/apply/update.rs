//! The two operations on owned objects: apply, and the record of any other write.
//!
//! Pure: the time and the manager's name come in, the new object and the new
//! owners go out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use base::{Classified, ErrorClass};
use serde_json::Value;

use super::field_set::{FieldSet, PathElement, path_text};
use super::managers::{Managed, Managers, Operation};
use super::typed::{self, ShapeError};
use super::unfit;
use crate::shape::Shape;

/// Who writes, when and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The manager's name.
    pub manager: String,
    /// The version of the object as written.
    pub api_version: String,
    /// Through which subresource; empty for none.
    pub subresource: String,
    /// Now, as RFC 3339.
    pub now: String,
}

/// How to apply.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// Take fields from their owners.
    pub force: bool,
    /// Fields that this endpoint ignores, with all below (`status` of the main resource).
    pub ignored: FieldSet,
}

/// What an apply made.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The merged object, without `managedFields`.
    pub object: Value,
    /// The owners now.
    pub managers: Managers,
}

/// A field that somebody else owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner as shown: `"kubectl" using v1`.
    pub owner: String,
    /// The field as shown: `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    /// The cause's message.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.owner)
    }
}

/// An apply that cannot be. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else owns fields with other values.
    #[error("{}", conflicts_text(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the type.
    #[error("failed to create typed patch object: {0}")]
    Shape(ShapeError),
    /// The configuration brings owners along.
    #[error("metadata.managedFields must be nil")]
    BringsManagers,
}

impl Classified for ApplyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Conflicts(_) => ErrorClass::Conflict,
            Self::Shape(_) | Self::BringsManagers => ErrorClass::Invalid,
        }
    }
}

/// The owner of what was there before the first apply.
pub const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to `live` (null if there is none yet).
///
/// Fields that the manager applied before, applies no more, and nobody else
/// owns are removed.
pub fn apply(
    live: &Value,
    config: &Value,
    shape: Option<&dyn Shape>,
    managers: &Managers,
    writer: &Writer,
    options: &ApplyOptions,
) -> Result<Applied, ApplyError> {
    if !config["metadata"]["managedFields"].is_null() {
        return Err(ApplyError::BringsManagers);
    }
    if let Some(unfit) = unfit::errors(config, shape) {
        return Err(ApplyError::Shape(ShapeError::Unfit(unfit)));
    }
    let live = without_managers(live);
    let mut managers = managers.clone();
    if managers.entries.is_empty() && live.as_object().is_some_and(|live| !live.is_empty()) {
        let before =
            Writer { manager: BEFORE_FIRST_APPLY.to_owned(), subresource: String::new(), ..writer.clone() };
        managers = record_write(&Value::Null, &live, shape, &managers, &before, &options.ignored);
    }
    let mut entry = entry(writer, Operation::Apply);
    entry.fields = owned(typed::field_set(config, shape).map_err(ApplyError::Shape)?, &options.ignored);
    let mut object = typed::merge(&live, config, shape).map_err(ApplyError::Shape)?;

    let last = managers.entries.iter().position(|other| other.is_same_owner(&entry));
    let last = last.map(|at| managers.entries.remove(at));
    if let Some(last) = &last {
        let owners = managers.entries.iter().chain([&entry]);
        let held = owners.fold(FieldSet::new(), |held, owner| held.union(owner.fields.clone()));
        let held = typed::with_declared_fields(&held, shape);
        let lost = typed::with_declared_fields(&last.fields, shape).difference(&held);
        if !lost.is_empty() {
            typed::remove(&mut object, &lost, shape);
            // Lists that the configuration names as empty went with their last item.
            object = typed::merge(&object, config, shape).map_err(ApplyError::Shape)?;
        }
    }

    let change = typed::compare(&live, &object, shape);
    let changed = owned(change.added.union(change.modified), &options.ignored);
    let conflicts = conflicts(&managers, &changed);
    if !options.force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    let same = last.as_ref().is_some_and(|last| last.fields == entry.fields) && changed.is_empty();
    let same = same && change.removed.is_empty();
    take_from_others(&mut managers, &changed.union(change.removed));
    entry.time = match last {
        Some(last) if same => last.time,
        _ => Some(writer.now.clone()),
    };
    if !entry.fields.is_empty() {
        managers.entries.push(entry);
    }
    Ok(Applied { object, managers })
}

/// The owners after a create, update or patch of `old` (null if there was none) to `new`.
pub fn record_write(
    old: &Value,
    new: &Value,
    shape: Option<&dyn Shape>,
    managers: &Managers,
    writer: &Writer,
    ignored: &FieldSet,
) -> Managers {
    let old = without_managers(old);
    let change = typed::compare(&old, &without_managers(new), shape);
    let taken = owned(change.added.union(change.modified), ignored);
    let mut managers = managers.clone();
    let mut entry = entry(writer, Operation::Update);
    let own = managers.entries.iter().position(|other| other.is_same_owner(&entry));
    let own = own.map(|at| managers.entries.remove(at));
    if !managers.entries.is_empty() {
        take_from_others(&mut managers, &taken.clone().union(change.removed.clone()));
    }
    entry.time = Some(writer.now.clone());
    if let Some(own) = own {
        if taken.is_empty() {
            entry.time = own.time;
        }
        entry.fields = own.fields;
    }
    entry.fields = entry.fields.union(taken).difference(&change.removed);
    if !entry.fields.is_empty() {
        managers.entries.push(entry);
    }
    managers.cap_updaters();
    managers
}

fn entry(writer: &Writer, operation: Operation) -> Managed {
    Managed {
        manager: writer.manager.clone(),
        operation,
        api_version: writer.api_version.clone(),
        time: None,
        subresource: writer.subresource.clone(),
        fields: FieldSet::new(),
    }
}

fn take_from_others(managers: &mut Managers, taken: &FieldSet) {
    for other in &mut managers.entries {
        other.fields = std::mem::take(&mut other.fields).difference(taken);
    }
    managers.entries.retain(|other| !other.fields.is_empty());
}

fn conflicts(managers: &Managers, changed: &FieldSet) -> Vec<Conflict> {
    let mut found = Vec::new();
    for other in &managers.entries {
        let owner = owner_text(other);
        for path in other.fields.intersection(changed).paths() {
            found.push(Conflict { owner: owner.clone(), field: path_text(&path) });
        }
    }
    found.sort_by(|a, b| (&a.owner, &a.field).cmp(&(&b.owner, &b.field)));
    found
}

fn owner_text(owner: &Managed) -> String {
    let mut text = format!("{:?}", owner.manager);
    if !owner.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", owner.subresource));
    }
    if owner.operation == Operation::Update {
        text.push_str(&format!(" using {}", owner.api_version));
    }
    text
}

fn conflicts_text(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", conflict.message(), conflict.field);
    }
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        owners.entry(&conflict.owner).or_default().push(&conflict.field);
    }
    let mut lines = Vec::new();
    for (owner, fields) in owners {
        lines.push(format!("conflicts with {owner}:"));
        lines.extend(fields.into_iter().map(|field| format!("- {field}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// What a manager can own: not the fields that the server keeps for everyone.
fn owned(fields: FieldSet, ignored: &FieldSet) -> FieldSet {
    static NEVER: LazyLock<FieldSet> = LazyLock::new(|| {
        let mut never = FieldSet::new();
        for path in NEVER_OWNED {
            let path: Vec<_> = path.iter().map(|name| PathElement::Field((*name).to_owned())).collect();
            never.insert(&path);
        }
        never
    });
    fields.difference(&NEVER).recursive_difference(ignored)
}

fn without_managers(object: &Value) -> Cow<'_, Value> {
    if object.is_null() {
        return Cow::Owned(Value::Object(serde_json::Map::new()));
    }
    let metadata = object.get("metadata").and_then(Value::as_object);
    if metadata.is_none_or(|metadata| !metadata.contains_key("managedFields")) {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Cow::Owned(object)
}

const NEVER_OWNED: [&[&str]; 11] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::shape::tests::Described;

    fn shape() -> Described {
        let scalar = json!({});
        let port = json!({"fields": {"port": scalar, "protocol": scalar, "name": scalar}});
        Described::new(&json!({"fields": {
            "apiVersion": scalar, "kind": scalar,
            "metadata": {"fields": {
                "name": scalar, "labels": {"values": scalar}, "finalizers": {"list": "set", "item": scalar}
            }},
            "spec": {"fields": {
                "replicas": scalar,
                "paused": scalar,
                "args": {"item": scalar},
                "selector": {"atomic": true, "values": scalar},
                "ports": {"list": "map", "keys": ["port", "protocol"], "defaults": {"protocol": "TCP"}, "item": port}
            }},
            "status": {"fields": {"ready": scalar}}
        }}))
    }

    /// An object that managers write to in turn.
    struct Live {
        shape: Described,
        object: Value,
        managers: Managers,
        clock: u32,
    }

    impl Live {
        fn new() -> Self {
            Self { shape: shape(), object: Value::Null, managers: Managers::default(), clock: 0 }
        }

        fn writer(&mut self, manager: &str, subresource: &str) -> Writer {
            self.clock += 1;
            Writer {
                manager: manager.to_owned(),
                api_version: "v1".to_owned(),
                subresource: subresource.to_owned(),
                now: format!("T{}", self.clock),
            }
        }

        fn apply_with(
            &mut self,
            manager: &str,
            config: &Value,
            options: &ApplyOptions,
        ) -> Result<&Value, ApplyError> {
            let writer = self.writer(manager, "");
            let applied = apply(&self.object, config, Some(&self.shape), &self.managers, &writer, options)?;
            (self.object, self.managers) = (applied.object, applied.managers);
            Ok(&self.object)
        }

        fn apply(
            &mut self,
            manager: &str,
            config: impl std::borrow::Borrow<Value>,
        ) -> Result<&Value, ApplyError> {
            self.apply_with(manager, config.borrow(), &ApplyOptions::default())
        }

        fn force(&mut self, manager: &str, config: impl std::borrow::Borrow<Value>) -> &Value {
            self.apply_with(
                manager,
                config.borrow(),
                &ApplyOptions { force: true, ..ApplyOptions::default() },
            )
            .unwrap()
        }

        fn update(&mut self, manager: &str, object: Value) {
            let writer = self.writer(manager, "");
            self.managers = record_write(
                &self.object,
                &object,
                Some(&self.shape),
                &self.managers,
                &writer,
                &FieldSet::new(),
            );
            self.object = object;
        }

        fn fields(&self, manager: &str) -> Value {
            let entry = self.managers.entries.iter().find(|entry| entry.manager == manager);
            entry.map_or(Value::Null, |entry| entry.fields.to_value())
        }
    }

    #[test]
    fn applies_and_owns() {
        let mut live = Live::new();
        let config = json!({"apiVersion": "v1", "kind": "S", "metadata": {"name": "a", "labels": {"x": "1"}},
            "spec": {"replicas": 3, "selector": {"a": "b"}, "ports": [{"port": 80, "name": "http"}]}});
        assert_eq!(live.apply("one", config.clone()).unwrap(), &config);
        let owned = json!({"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {
            "f:replicas": {}, "f:selector": {},
            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}}}});
        assert_eq!(live.fields("one"), owned);
        assert_eq!(live.managers.entries[0].time.as_deref(), Some("T1"));
        live.apply("one", config).unwrap();
        assert_eq!(live.managers.entries[0].time.as_deref(), Some("T1"), "nothing changed");
        let printed = live.managers.to_value();
        assert_eq!(printed[0]["operation"], "Apply");
        assert_eq!(Managers::from_value(&printed).unwrap(), live.managers);
    }

    #[test]
    fn removes_what_is_applied_no_more_and_owned_by_nobody() {
        let mut live = Live::new();
        let labels = |names: &[&str]| {
            let labels: serde_json::Map<_, _> =
                names.iter().map(|name| ((*name).to_owned(), json!("1"))).collect();
            json!({"metadata": {"labels": labels}})
        };
        live.apply("one", labels(&["a", "b"])).unwrap();
        live.apply("two", labels(&["b", "c"])).unwrap();
        assert_eq!(live.apply("one", labels(&["a"])).unwrap(), &labels(&["a", "b", "c"]), "two owns b");
        assert_eq!(live.apply("two", labels(&[])).unwrap(), &labels(&["a"]));
        assert_eq!(live.apply("one", json!({})).unwrap(), &json!({}));
        assert!(live.managers.entries.is_empty());
    }

    #[test]
    fn lists_are_merged_by_their_keys() {
        let mut live = Live::new();
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        live.apply("one", ports(json!([{"port": 1}, {"port": 2, "name": "two"}]))).unwrap();
        let merged = live.apply("two", ports(json!([{"port": 3}, {"port": 2}]))).unwrap();
        assert_eq!(merged, &ports(json!([{"port": 1}, {"port": 3}, {"port": 2, "name": "two"}])));
        live.apply("one", ports(json!([{"port": 1}]))).unwrap();
        assert_eq!(live.object, ports(json!([{"port": 1}, {"port": 3}, {"port": 2}])), "two still owns 2");
        live.apply("two", json!({"metadata": {"finalizers": ["x"]}})).unwrap();
        live.apply("one", json!({"metadata": {"finalizers": ["y", "x"]}})).unwrap();
        assert_eq!(live.object, json!({"metadata": {"finalizers": ["y", "x"]}}));
    }

    #[test]
    fn conflicts_in_the_known_words() {
        let mut live = Live::new();
        live.apply("one", json!({"spec": {"replicas": 1, "args": ["a"]}})).unwrap();
        let error = live.apply("two", json!({"spec": {"replicas": 2}})).unwrap_err();
        assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
        assert_eq!(error.class(), ErrorClass::Conflict);
        live.apply("two", json!({"spec": {"replicas": 1}})).unwrap();
        live.update("ed", json!({"spec": {"replicas": 5, "args": ["b"]}}));
        assert_eq!(live.fields("one"), Value::Null, "ed took both");
        let error = live.apply("one", json!({"spec": {"replicas": 1, "args": ["a"]}})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Apply failed with 2 conflicts: conflicts with \"ed\" using v1:\n- .spec.args\n- .spec.replicas"
        );
        live.force("one", json!({"spec": {"replicas": 1, "args": ["a"]}}));
        assert_eq!(live.fields("ed"), Value::Null);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut live = Live::new();
        let mut message = |config| live.apply("one", config).unwrap_err().to_string();
        assert_eq!(
            message(json!({"spec": {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}})),
            "failed to create typed patch object: .spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]"
        );
        assert_eq!(
            message(json!({"spec": {"ports": [1]}})),
            "failed to create typed patch object: .spec.ports: element 0: associative list with keys may not have \
             non-map elements"
        );
        assert_eq!(
            message(json!({"metadata": {"finalizers": ["a", "a"]}})),
            "failed to create typed patch object: .metadata.finalizers: duplicate entries for key [=\"a\"]"
        );
        assert_eq!(message(json!({"metadata": {"managedFields": []}})), "metadata.managedFields must be nil");
    }

    #[test]
    fn writes_are_recorded() {
        let mut live = Live::new();
        live.update("ed", json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"replicas": 1}}));
        let owned =
            json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {".": {}, "f:replicas": {}}});
        assert_eq!(live.fields("ed"), owned);
        live.update("al", json!({"metadata": {"name": "a"}, "spec": {"replicas": 2}}));
        assert_eq!(live.fields("ed"), json!({"f:spec": {}}));
        assert_eq!(live.fields("al"), json!({"f:spec": {"f:replicas": {}}}));
    }

    #[test]
    fn an_object_without_owners_gets_one_before_its_first_apply() {
        let mut live = Live::new();
        live.object = json!({"spec": {"replicas": 1, "paused": true}});
        live.apply("one", json!({"spec": {"replicas": 1}})).unwrap();
        assert_eq!(
            live.fields(BEFORE_FIRST_APPLY),
            json!({"f:spec": {".": {}, "f:paused": {}, "f:replicas": {}}})
        );
        assert!(live.apply("one", json!({"spec": {"replicas": 2}})).is_err());
    }

    #[test]
    fn an_endpoint_ignores_fields() {
        let mut live = Live::new();
        let ignored = FieldSet::from_value(&json!({"f:status": {}})).unwrap();
        let options = ApplyOptions { ignored, ..ApplyOptions::default() };
        live.apply_with("one", &json!({"spec": {"replicas": 1}, "status": {"ready": 1}}), &options).unwrap();
        assert_eq!(live.fields("one"), json!({"f:spec": {"f:replicas": {}}}));
        let writer = live.writer("one", "status");
        let new = json!({"spec": {"replicas": 1}, "status": {"ready": 2}});
        let managers =
            record_write(&live.object, &new, Some(&live.shape), &live.managers, &writer, &FieldSet::new());
        assert_eq!(managers.entries.len(), 2);
        assert_eq!(managers.to_value()[1]["subresource"], "status");
    }

    #[test]
    fn without_a_shape_lists_are_atomic() {
        let writer = Live::new().writer("one", "");
        let apply = |live: &Value, config: Value, managers: &Managers| {
            apply(live, &config, None, managers, &writer, &ApplyOptions::default()).unwrap()
        };
        let first = apply(&Value::Null, json!({"a": {"b": [1, 2], "c": 1}}), &Managers::default());
        let second = apply(&first.object, json!({"a": {"b": [3]}}), &first.managers);
        assert_eq!(second.object, json!({"a": {"b": [3]}}));
    }

    fn configs() -> impl Strategy<Value = Value> {
        let labels = prop::collection::btree_map("[abc]", "[12]", 0..3);
        let ports = prop::collection::btree_map(1..4u8, "[xy]", 0..4);
        (labels, ports, prop::option::of(0..3u8)).prop_map(|(labels, ports, replicas)| {
            let ports: Vec<_> =
                ports.into_iter().map(|(port, name)| json!({"port": port, "name": name})).collect();
            let mut config = json!({"metadata": {"labels": labels}, "spec": {"ports": ports}});
            if let Some(replicas) = replicas {
                config["spec"]["replicas"] = json!(replicas);
            }
            config
        })
    }

    proptest! {
        #[test]
        fn what_is_applied_is_there_and_once_is_enough(writes in prop::collection::vec((0..3u8, configs()), 1..6)) {
            let mut live = Live::new();
            for (manager, config) in writes {
                let manager = format!("m{manager}");
                let shape = shape();
                let object = live.force(&manager, config.clone()).clone();
                let have = typed::field_set(&object, Some(&shape)).unwrap();
                let want = typed::field_set(&config, Some(&shape)).unwrap();
                prop_assert!(want.paths().iter().all(|path| !path_text(path).contains("port") || have.contains(path)));
                let owners = live.managers.clone();
                prop_assert_eq!(live.force(&manager, config), &object);
                prop_assert_eq!(&live.managers, &owners);
                prop_assert_eq!(&Managers::from_value(&owners.to_value()).unwrap().to_value(), &owners.to_value());
            }
        }

        #[test]
        fn a_lonely_applier_gets_what_it_applies(configs in prop::collection::vec(configs(), 1..5)) {
            let mut live = Live::new();
            let shape = shape();
            for config in configs {
                let object = live.apply("one", config.clone()).unwrap().clone();
                let (have, want) = (typed::field_set(&object, Some(&shape)), typed::field_set(&config, Some(&shape)));
                prop_assert_eq!(have.unwrap().difference(&want.unwrap()).paths(), Vec::<Vec<PathElement>>::new());
            }
        }
    }
}
