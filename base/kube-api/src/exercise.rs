//! Calls everything that looks at an object, for tests that give it objects of every sort.

use jiff::Timestamp;
use kube_object::resource::GroupVersionKind;
use kube_object::time::Time;
use kube_object::user::User;
use kube_schema::Kind;
use serde_json::{Value, json};

/// What the API server calls for a request about an object of this kind.
pub(crate) fn all(new: &Value, old: &Value, kind: &Kind) {
    let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
    let group_kind = gvk.group_kind();
    reads(&gvk, new);
    let strategy = crate::strategy(&group_kind);
    let mut object = new.clone();
    crate::decode(&gvk, &mut object);
    strategy.prepare_create(&gvk, &mut object);
    let _ = strategy.graceful_deletion(&object, &json!({"gracePeriodSeconds": 3}));
    let mut object = new.clone();
    strategy.prepare_update(&gvk, &mut object, old);
    for subresource in &kind.subresources {
        let mut object = new.clone();
        strategy.prepare_subresource(&gvk, subresource.name, &mut object, old);
    }
    if let Some(now) = Time::from_unix(0) {
        crate::csr_condition_times(&mut object, old, now);
    }
    crate::csr_requester(&mut object, &User::default());
    let _ = crate::warnings(&gvk, new, None);
}

fn reads(gvk: &GroupVersionKind, object: &Value) {
    let kind = gvk.group_kind();
    assert_eq!(crate::cells(gvk, object, Timestamp::UNIX_EPOCH).len(), crate::columns(&kind).len());
    for field in crate::selectable_fields(&kind) {
        assert!(crate::selectable_field(&kind, object, field).is_some(), "{field}");
    }
    let mut named = object.clone();
    if let Some(members) = named.as_object_mut() {
        members.insert("apiVersion".to_owned(), json!(gvk.api_version()));
        members.insert("kind".to_owned(), json!(gvk.kind));
    }
    for version in crate::served_versions(&kind) {
        let _ = crate::convert(named.clone(), &GroupVersionKind::new(&gvk.group, version, &gvk.kind));
    }
    if let Some(stored) = crate::storage_version(&kind) {
        let _ = crate::convert(named, &stored);
    }
}
