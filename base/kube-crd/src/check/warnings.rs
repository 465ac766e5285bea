//! What the API says about a definition that it takes all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::Structural;
use crate::validate::is_known_format;

/// Warnings about formats that are not checked and sets of what is no scalar, as far
/// as the definition before did not have them.
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let (formats, sets) = of(new);
    let (old_formats, old_sets) = old.map(of).unwrap_or_default();
    let formats = formats.into_iter().filter(|one| !old_formats.contains(one));
    let sets = sets.into_iter().filter(|one| !old_sets.contains(one));
    formats.chain(sets).collect()
}

fn of(crd: &Value) -> (Vec<String>, BTreeSet<String>) {
    let versions: Vec<&Value> =
        crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten().collect();
    let mut schemas: Vec<&Value> =
        versions.iter().filter_map(|version| version.pointer("/schema/openAPIV3Schema")).collect();
    // A schema that all versions share is one.
    if schemas.len() == versions.len() && schemas.windows(2).all(|two| two[0] == two[1]) {
        schemas.truncate(1);
    }
    let (mut formats, mut sets) = (Vec::new(), BTreeSet::new());
    for schema in schemas {
        let Ok(schema) = Structural::parse(schema) else { continue };
        schema.each(&mut |node| {
            let format = node.checks.format.as_str();
            if !format.is_empty() && !is_known_format(&node.kind, format) {
                formats.push(format!("unrecognized format {format:?}"));
            }
            let items = node.items.as_deref().filter(|_| node.list_type.as_deref() == Some("set"));
            if let Some(kind) = items.map(|items| &items.kind).filter(|kind| *kind == "object" || *kind == "array") {
                sets.insert(format!(
                    "x-kubernetes-list-type: set for items of type {kind:?} is not supported by server-side apply or \
                     CEL validation rules"
                ));
            }
        });
    }
    (formats, sets)
}
