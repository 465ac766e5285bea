//! What is to be done so that the bootstrap objects are as they should be.

use serde_json::{Map, Value, json};

use crate::EXEMPT;
use crate::bootstrap::{self, AUTO_UPDATE};

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The object is missing.
    Create(Value),
    /// The object is to be this, if nobody has changed it since it was looked at.
    Update(Value),
    /// The object of this name is none of the server's any more.
    Delete(String),
}

/// What is to be done about the levels, by those that there are.
pub fn levels(present: &[&Value]) -> Vec<Step> {
    plan(present, &bootstrap::suggested_levels(), &bootstrap::mandatory_levels())
}

/// What is to be done about the schemas, by those that there are.
pub fn schemas(present: &[&Value]) -> Vec<Step> {
    plan(present, &bootstrap::suggested_schemas(), &bootstrap::mandatory_schemas())
}

fn plan(present: &[&Value], suggested: &[Value], mandatory: &[Value]) -> Vec<Step> {
    let wanted = suggested.iter().map(|object| (object, false));
    let wanted: Vec<_> = wanted.chain(mandatory.iter().map(|object| (object, true))).collect();
    let ensured = wanted.iter().filter_map(|(object, always)| {
        match present.iter().find(|other| name(other) == name(object)) {
            None => Some(Step::Create((*object).clone())),
            Some(present) => revised(present, object, *always).map(Step::Update),
        }
    });
    let ours = |object: &&&Value| wanted.iter().any(|(other, _)| name(other) == name(object));
    let left = present.iter().filter(|object| !ours(object) && annotation(object) == Some(true));
    let left: Vec<Step> = left.map(|object| Step::Delete(name(object).to_owned())).collect();
    ensured.chain(left).collect()
}

/// The object with the spec and the annotation that it should have; none if it has them.
fn revised(present: &Value, wanted: &Value, always: bool) -> Option<Value> {
    let keeps = always || keeps_spec(present);
    let annotate = annotation(present) != Some(keeps);
    let spec = wanted_spec(present, wanted);
    let respec = keeps && present.get("spec") != Some(&spec);
    if !annotate && !respec {
        return None;
    }
    let mut revised = present.clone();
    if respec {
        revised.as_object_mut()?.insert("spec".to_owned(), spec);
    }
    if annotate {
        let metadata = revised.get_mut("metadata")?.as_object_mut()?;
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if annotations.is_null() {
            *annotations = Value::Object(Map::new());
        }
        annotations.as_object_mut()?.insert(AUTO_UPDATE.to_owned(), json!(keeps.to_string()));
    }
    Some(revised)
}

/// Whether the server looks after a suggested object's spec: as the annotation says, else as long as
/// nobody has changed it.
fn keeps_spec(present: &Value) -> bool {
    let unchanged = || present.pointer("/metadata/generation").and_then(Value::as_i64) == Some(1);
    annotation(present).unwrap_or_else(unchanged)
}

/// How much the exempt level gives others is the operator's to say.
fn wanted_spec(present: &Value, wanted: &Value) -> Value {
    let mut spec = wanted.get("spec").cloned().unwrap_or_default();
    let of_present = present.pointer("/spec/exempt").filter(|_| name(wanted) == EXEMPT);
    if let (Some(exempt), Some(set)) = (spec.get_mut("exempt"), of_present) {
        exempt.clone_from(set);
    }
    spec
}

/// What the annotation says; none if it says nothing that Go would read as a truth value.
fn annotation(object: &Value) -> Option<bool> {
    match object.get("metadata")?.get("annotations")?.get(AUTO_UPDATE)?.as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(objects: Vec<Value>, wanted: &str) -> Value {
        objects.into_iter().find(|object| name(object) == wanted).unwrap()
    }

    fn annotated(mut object: Value, value: Option<&str>, generation: i64) -> Value {
        object["metadata"]["annotations"] = value.map_or(Value::Null, |value| json!({AUTO_UPDATE: value}));
        object["metadata"]["generation"] = json!(generation);
        object
    }

    /// The plan for the schemas if one of them is this.
    fn with(object: &Value) -> Vec<Step> {
        let others: Vec<Value> =
            bootstrap::schemas().into_iter().filter(|other| name(other) != name(object)).collect();
        let present: Vec<&Value> = others.iter().chain([object]).collect();
        schemas(&present)
    }

    #[test]
    fn an_empty_cluster_gets_everything_and_then_nothing() {
        assert_eq!((levels(&[]).len(), schemas(&[]).len()), (8, 11));
        let (all_levels, all_schemas) = (bootstrap::levels(), bootstrap::schemas());
        assert_eq!(levels(&all_levels.iter().collect::<Vec<_>>()), []);
        assert_eq!(schemas(&all_schemas.iter().collect::<Vec<_>>()), []);
    }

    #[test]
    fn the_annotation_says_who_keeps_a_suggested_spec() {
        // The annotation, the generation, whether the spec is put back, and the annotation after.
        for (value, generation, put_back, after) in [
            (Some("true"), 5, true, "true"),
            (Some("false"), 1, false, "false"),
            (None, 1, true, "true"),
            (None, 2, false, "false"),
            (Some("maybe"), 1, true, "true"),
            (Some("maybe"), 2, false, "false"),
        ] {
            let ours = find(bootstrap::schemas(), "probes");
            let mut changed = annotated(ours.clone(), value, generation);
            changed["spec"]["matchingPrecedence"] = json!(3);
            let now = match with(&changed).as_slice() {
                [] => changed.clone(),
                [Step::Update(object)] => object.clone(),
                other => panic!("{other:?}"),
            };
            let expected = if put_back { &ours } else { &changed };
            assert_eq!(now["spec"], expected["spec"], "{value:?} {generation}");
            assert_eq!(now["metadata"]["annotations"][AUTO_UPDATE], after, "{value:?} {generation}");
        }
    }

    #[test]
    fn mandatory_specs_are_put_back_whatever_is_annotated() {
        let ours = find(bootstrap::schemas(), "catch-all");
        let mut changed = annotated(ours.clone(), Some("false"), 7);
        changed["spec"]["matchingPrecedence"] = json!(3);
        let [Step::Update(now)] = &with(&changed)[..] else { panic!() };
        assert_eq!(now["spec"], ours["spec"]);
        assert_eq!(now["metadata"]["annotations"][AUTO_UPDATE], "true");
        let mut exempt = find(bootstrap::levels(), "exempt");
        exempt["spec"]["exempt"]["lendablePercent"] = json!(40);
        let mut all = bootstrap::levels();
        all.retain(|level| name(level) != "exempt");
        let present: Vec<&Value> = all.iter().chain([&exempt]).collect();
        assert_eq!(levels(&present), []);
    }

    #[test]
    fn what_was_once_suggested_goes() {
        let others = |value| annotated(json!({"metadata": {"name": "old"}, "spec": {}}), value, 1);
        assert_eq!(with(&others(Some("true"))), [Step::Delete("old".to_owned())]);
        assert_eq!(with(&others(Some("false"))), []);
        assert_eq!(with(&others(None)), []);
    }
}
