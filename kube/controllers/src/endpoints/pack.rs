//! Endpoints into slices: as few changes as possible, and no slice too full.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::known::endpoint_slices;
use crate::object::{items, namespace, same, set, text};
use crate::plan::Action;

/// What is to be in the slices of one family and one set of ports.
pub(super) struct Group {
    pub(super) address_type: &'static str,
    pub(super) ports: Vec<Value>,
    /// By what identifies an endpoint: its target and addresses.
    pub(super) endpoints: BTreeMap<String, Value>,
}

/// How slices are made and marked.
pub(super) struct Mould {
    /// A slice without endpoints, ports and family.
    pub(super) slice: Value,
    /// Most endpoints of one.
    pub(super) most: usize,
    /// The time that changed slices are marked with.
    pub(super) time: String,
}

/// Which endpoint one is.
pub(super) fn identity(endpoint: &Value) -> String {
    format!("{}|{}", text(endpoint, &["targetRef", "uid"]), endpoint.get("addresses").unwrap_or(&Value::Null))
}

/// What makes the slices that are there show the groups.
pub(super) fn pack(mould: &Mould, existing: &[Arc<Value>], groups: Vec<Group>) -> Vec<Action> {
    let mut left: Vec<&Arc<Value>> = existing.iter().collect();
    let mut actions = Vec::new();
    let mut creates = Vec::new();
    for mut group in groups {
        let (mine, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|slice| belongs(slice, &group));
        left = others;
        pack_group(mould, &mine, &mut group, &mut actions, &mut creates);
    }
    actions.extend(left.into_iter().map(|slice| Action::delete(endpoint_slices(), slice)));
    // New ones first: nobody is cut off in between.
    creates.append(&mut actions);
    creates
}

fn pack_group(
    mould: &Mould,
    mine: &[&Arc<Value>],
    group: &mut Group,
    actions: &mut Vec<Action>,
    creates: &mut Vec<Action>,
) {
    // An empty group still has one slice: it tells that nothing is there.
    let wants_empty = group.endpoints.is_empty();
    let mut kept: Vec<(&Arc<Value>, Vec<Value>)> = Vec::new();
    for slice in mine {
        let stay = items(slice, &["endpoints"]).iter();
        let stay: Vec<Value> = stay.filter_map(|one| group.endpoints.remove(&identity(one))).collect();
        kept.push((slice, stay));
    }
    let mut new: VecDeque<Value> = std::mem::take(&mut group.endpoints).into_values().collect();
    for (slice, endpoints) in &mut kept {
        // Slices that change anyway are filled; others stay untouched.
        if endpoints.len() != items(slice, &["endpoints"]).len() || new.len() < mould.most {
            let room = mould.most.saturating_sub(endpoints.len()).min(new.len());
            endpoints.extend(new.drain(..room));
        }
    }
    let mut has_one = false;
    for (slice, endpoints) in kept {
        if endpoints.is_empty() && (has_one || !wants_empty) {
            actions.push(Action::delete(endpoint_slices(), slice));
            continue;
        }
        has_one = true;
        let right = filled(mould, Some(slice), group, endpoints);
        if !same(&right, slice) {
            let mut right = right;
            set(&mut right, &["metadata", "annotations", super::TRIGGERED], json!(mould.time));
            actions.push(Action::update(endpoint_slices(), right));
        }
    }
    while !new.is_empty() || !has_one {
        has_one = true;
        let some: Vec<Value> = new.drain(..mould.most.min(new.len())).collect();
        let made = filled(mould, None, group, some);
        creates.push(Action::create(endpoint_slices(), namespace(&mould.slice), made));
    }
}

fn belongs(slice: &Value, group: &Group) -> bool {
    text(slice, &["addressType"]) == group.address_type
        && same(&json!(items(slice, &["ports"])), &json!(group.ports))
}

fn filled(mould: &Mould, before: Option<&Value>, group: &Group, endpoints: Vec<Value>) -> Value {
    let mut slice = before.cloned().unwrap_or_else(|| mould.slice.clone());
    for member in ["labels", "ownerReferences"] {
        let wanted = mould.slice.pointer(&format!("/metadata/{member}")).cloned().unwrap_or_default();
        set(&mut slice, &["metadata", member], wanted);
    }
    set(&mut slice, &["addressType"], json!(group.address_type));
    set(&mut slice, &["ports"], json!(group.ports));
    set(&mut slice, &["endpoints"], Value::Array(endpoints));
    slice
}
