//! Static defaults, which the schema's table carries: found once for each type, then applied by walking.

use std::collections::HashMap;
use std::sync::OnceLock;

use kube_object::resource::GroupVersionKind;
use kube_schema::{Gvk, Schema, Type, TypeId};
use serde_json::Value;

/// What a type's values need: members to fill in, and members below which there is something to do.
#[derive(Default)]
struct Plan {
    fill: Vec<(&'static str, Value)>,
    descend: Vec<(&'static str, TypeId)>,
}

/// Fills in the static defaults of a kind.
pub(super) fn apply(gvk: &GroupVersionKind, object: &mut Value) {
    let key = Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind };
    if let Some(kind) = Schema::builtin().kind(key) {
        walk(plans(), kind.object, object);
    }
}

fn walk(plans: &HashMap<TypeId, Plan>, id: TypeId, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(plans, id, item)),
        Value::Object(members) => {
            let Some(plan) = plans.get(&id) else { return };
            for (name, default) in &plan.fill {
                if members.get(*name).is_none_or(Value::is_null) {
                    members.insert((*name).to_owned(), default.clone());
                }
            }
            for (name, below) in &plan.descend {
                if let Some(member) = members.get_mut(*name) {
                    walk(plans, *below, member);
                }
            }
        }
        _ => {}
    }
}

fn plans() -> &'static HashMap<TypeId, Plan> {
    static PLANS: OnceLock<HashMap<TypeId, Plan>> = OnceLock::new();
    PLANS.get_or_init(|| build(Schema::builtin()))
}

fn build(schema: &Schema) -> HashMap<TypeId, Plan> {
    let mut plans: HashMap<TypeId, Plan> = HashMap::new();
    for object in schema.objects() {
        let fill: Vec<_> = object
            .fields
            .iter()
            .filter_map(|field| {
                let value: Value = serde_json::from_str(field.default?).ok()?;
                (is_visible(&value) || SHOWN_ZEROS.contains(&(object.name, field.name)))
                    .then_some((field.name, value))
            })
            .collect();
        if let (false, Some(id)) = (fill.is_empty(), schema.object_id(object.name)) {
            plans.insert(id, Plan { fill, descend: Vec::new() });
        }
    }
    // Types above types with something to do, until nothing is added.
    loop {
        let mut added = false;
        for object in schema.objects() {
            let Some(id) = schema.object_id(object.name) else { continue };
            for field in &object.fields {
                let Some(below) = objects_below(&field.kind) else { continue };
                if !plans.contains_key(&below) {
                    continue;
                }
                let plan = plans.entry(id).or_default();
                if !plan.descend.contains(&(field.name, below)) {
                    plan.descend.push((field.name, below));
                    added = true;
                }
            }
        }
        if !added {
            return plans;
        }
    }
}

/// The type of objects that a field holds directly or in a list; maps of objects hold no defaults.
fn objects_below(kind: &Type) -> Option<TypeId> {
    match kind {
        Type::Object(id) => Some(*id),
        Type::List { item, .. } => objects_below(item),
        _ => None,
    }
}

/// Zero values of plain Go fields are not written, so they are no default that anyone sees.
fn is_visible(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_i64() != Some(0),
        Value::Bool(flag) => *flag,
        _ => true,
    }
}

/// Zero values of optional (pointer) fields, which are written.
const SHOWN_ZEROS: [(&str, &str); 3] = [
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "readOnly"),
    ("io.k8s.api.core.v1.FileKeySelector", "optional"),
    ("io.k8s.api.core.v1.GRPCAction", "service"),
];
