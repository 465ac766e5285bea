//! Custom kinds in the API's OpenAPI documents.
//!
//! Version 2 drops what that version, or kubectl's reading of it, cannot express:
//! junctors, nullable values, and the insides of values that keep unknown fields.

use serde_json::{Map, Value, json};

use crate::definition::text;

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// 2.0.
    V2,
    /// 3.0.
    V3,
}

/// What the API says about the members that all its objects have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'a> {
    /// Of `apiVersion`.
    pub api_version: &'a str,
    /// Of `kind`.
    pub kind: &'a str,
    /// Of an object's `metadata`.
    pub metadata: &'a str,
    /// Of a list's `metadata`.
    pub list_metadata: &'a str,
}

/// The name of a kind's definition: `com.example.v1.Foo`.
pub fn model_name(group: &str, version: &str, kind: &str) -> String {
    let parts: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", parts.join("."))
}

/// The definition of a version's objects; none if the definition has no such version.
pub fn schema(crd: &Value, version: &str, flavour: Flavour, words: &Words<'_>) -> Option<Value> {
    let of_version = version_of(crd, version)?;
    let schema = of_version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object());
    let open = |schema: &Value| is(schema, "x-kubernetes-preserve-unknown-fields");
    let whole_open = crd.pointer("/spec/preserveUnknownFields").and_then(Value::as_bool) == Some(true);
    let mut out = match schema {
        Some(schema) if flavour == Flavour::V3 || !(whole_open || open(schema)) => {
            let mut out = node(schema, flavour, true);
            embedded(&mut out, flavour, words);
            members(&mut out, words, reference(flavour, OBJECT_META, words.metadata));
            out
        }
        _ => object([("type", json!("object"))]),
    };
    out.insert(GVK.to_owned(), gvk(crd, version, "kind")?);
    out.extend(selectable(of_version));
    Some(Value::Object(out))
}

/// The definition of lists of a version's objects.
pub fn list_schema(crd: &Value, version: &str, flavour: Flavour, words: &Words<'_>) -> Option<Value> {
    let of_version = version_of(crd, version)?;
    let spec = crd.get("spec")?;
    let names = spec.get("names")?;
    let (kind, plural) = (text(names, "kind")?, text(names, "plural")?);
    let list_kind = text(names, "listKind").unwrap_or_else(|| format!("{kind}List"));
    let item = model_name(&text(spec, "group")?, version, &kind);
    let more = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let items = reference(flavour, &item, "");
    let mut out = object([
        ("description", json!(format!("{list_kind} is a list of {kind}"))),
        ("type", json!("object")),
        ("required", json!(["items"])),
    ]);
    members(&mut out, words, reference(flavour, LIST_META, words.list_metadata));
    let description = format!("List of {plural}. More info: {more}");
    property(
        &mut out,
        "items",
        object([
            ("description", json!(description)),
            ("type", json!("array")),
            ("items", Value::Object(items)),
        ]),
    );
    out.insert(GVK.to_owned(), gvk(crd, version, "listKind")?);
    out.extend(selectable(of_version));
    Some(Value::Object(out))
}

fn version_of<'a>(crd: &'a Value, version: &str) -> Option<&'a Value> {
    let versions = crd.pointer("/spec/versions")?.as_array()?;
    versions.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(version))
}

fn gvk(crd: &Value, version: &str, name: &str) -> Option<Value> {
    let spec = crd.get("spec")?;
    let names = spec.get("names")?;
    let kind = text(names, name).or_else(|| Some(format!("{}List", text(names, "kind")?)))?;
    Some(json!([{"group": text(spec, "group")?, "version": version, "kind": kind}]))
}

fn selectable(version: &Value) -> Option<(String, Value)> {
    let fields = version.get("selectableFields")?.as_array()?;
    let path = |field: &Value| {
        let path = text(field, "jsonPath").unwrap_or_default();
        json!({"fieldPath": path.strip_prefix('.').unwrap_or(&path)})
    };
    let fields: Vec<Value> = fields.iter().map(path).collect();
    (!fields.is_empty()).then(|| ("x-kubernetes-selectable-fields".to_owned(), Value::Array(fields)))
}

/// A node with the words that are published. Below junctors it only restricts.
fn node(schema: &Value, flavour: Flavour, structural: bool) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in schema.as_object().into_iter().flatten() {
        let below = |value: &Value| Value::Object(node(value, flavour, structural));
        let nested = |value: &Value| Value::Object(node(value, flavour, false));
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("");
        let value = match name.as_str() {
            _ if value.is_null()
                || (empty && name != "default")
                || value == &Value::Bool(false) && name != "default" && name != "additionalProperties" =>
            {
                continue;
            }
            "properties" => match value.as_object() {
                Some(all) => all.iter().map(|(name, value)| (name.clone(), below(value))).collect(),
                None => continue,
            },
            "items" | "additionalProperties" if value.is_object() => below(value),
            "additionalProperties" => value.clone(),
            "not" => nested(value),
            "allOf" | "anyOf" | "oneOf" => value.as_array().into_iter().flatten().map(nested).collect(),
            name if PLAIN.contains(&name) => value.clone(),
            _ => continue,
        };
        out.insert(name.clone(), value);
    }
    if structural {
        unfold(&mut out);
        if flavour == Flavour::V2 {
            reduce(&mut out, schema);
        }
    }
    out
}

/// A number or a string is said by types too.
fn unfold(out: &mut Map<String, Value>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let first = out.get("allOf").and_then(|all| all.get(0)).and_then(|one| one.get("anyOf"));
    if !out.contains_key("x-kubernetes-int-or-string")
        || out.get("anyOf") == Some(&either)
        || first == Some(&either)
    {
        return;
    }
    if !out.contains_key("anyOf") {
        out.insert("anyOf".to_owned(), either);
        return;
    }
    let all = out.entry("allOf").or_insert_with(|| json!([]));
    if let Some(all) = all.as_array_mut() {
        all.insert(0, json!({"anyOf": either}));
    }
}

/// What version 2 can express.
fn reduce(out: &mut Map<String, Value>, schema: &Value) {
    for name in ["allOf", "anyOf", "oneOf", "not"] {
        out.remove(name);
    }
    let open = out.contains_key("x-kubernetes-preserve-unknown-fields");
    let nullable = out.remove("nullable").is_some();
    if nullable {
        out.remove("type");
    }
    if nullable || open {
        out.remove("items");
        out.remove("properties");
    }
    let kind = out.get("type").and_then(Value::as_str);
    if (kind == Some("array") && !out.contains_key("items")) || (kind == Some("object") && open) {
        out.remove("type");
    }
    let is_nullable = |schema: Option<&Value>| schema.is_some_and(|schema| is(schema, "nullable"));
    let properties = schema.get("properties").filter(|_| out.contains_key("properties"));
    if let Some(required) = out.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !is_nullable(properties.and_then(|all| all.get(name.as_str()?))));
        if required.is_empty() || is_nullable(schema.get("additionalProperties")) {
            out.remove("required");
        }
    }
}

/// Embedded objects have the members of any object.
fn embedded(out: &mut Map<String, Value>, flavour: Flavour, words: &Words<'_>) {
    for name in ["items", "additionalProperties"] {
        if let Some(below) = out.get_mut(name).and_then(Value::as_object_mut) {
            embedded(below, flavour, words);
        }
    }
    if let Some(all) = out.get_mut("properties").and_then(Value::as_object_mut) {
        for below in all.values_mut().filter_map(Value::as_object_mut) {
            embedded(below, flavour, words);
        }
    }
    let open = out.contains_key("x-kubernetes-preserve-unknown-fields");
    if !out.contains_key("x-kubernetes-embedded-resource") || (open && flavour == Flavour::V2) {
        return;
    }
    members(out, words, reference(flavour, OBJECT_META, words.metadata));
    let required = out.entry("required").or_insert_with(|| json!([]));
    for name in ["kind", "apiVersion"] {
        if let Some(all) = required.as_array_mut().filter(|all| !all.contains(&json!(name))) {
            all.push(json!(name));
        }
    }
}

fn members(out: &mut Map<String, Value>, words: &Words<'_>, metadata: Map<String, Value>) {
    let string = |words: &str| object([("description", json!(words)), ("type", json!("string"))]);
    property(out, "apiVersion", string(words.api_version));
    property(out, "kind", string(words.kind));
    property(out, "metadata", metadata);
}

fn property(out: &mut Map<String, Value>, name: &str, schema: Map<String, Value>) {
    let all = out.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(all) = all.as_object_mut() {
        all.insert(name.to_owned(), Value::Object(schema));
    }
}

fn reference(flavour: Flavour, name: &str, description: &str) -> Map<String, Value> {
    let base = match flavour {
        Flavour::V2 => "#/definitions/",
        Flavour::V3 => "#/components/schemas/",
    };
    let mut out = object([("$ref", json!(format!("{base}{name}")))]);
    if description.is_empty() {
        return out;
    }
    // Beside a reference nothing may stand in version 3.
    if flavour == Flavour::V3 {
        out = object([("allOf", json!([out]))]);
    }
    out.insert("description".to_owned(), json!(description));
    out
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

const GVK: &str = "x-kubernetes-group-version-kind";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
/// Words whose values are published as they are.
const PLAIN: [&str; 30] = [
    "type",
    "description",
    "title",
    "nullable",
    "default",
    "example",
    "externalDocs",
    "format",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "enum",
    "maxProperties",
    "minProperties",
    "required",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]
mod tests {
    use super::*;

    fn crd(schema: Value) -> Value {
        json!({"spec": {"group": "example.com", "names": {"plural": "foos", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema},
                "selectableFields": [{"jsonPath": ".spec.a"}]}]}})
    }

    fn published(schema: Value, flavour: Flavour) -> Value {
        let words = Words { metadata: "m", ..Words::default() };
        super::schema(&crd(schema), "v1", flavour, &words).unwrap()
    }

    #[test]
    fn names_are_reversed_groups() {
        assert_eq!(model_name("stable.example.com", "v1", "Foo"), "com.example.stable.v1.Foo");
    }

    #[test]
    fn objects_have_the_members_of_all() {
        let v3 = published(
            json!({"type": "object", "description": "d", "properties": {"spec": {"type": "object"}}}),
            Flavour::V3,
        );
        assert_eq!(v3[GVK], json!([{"group": "example.com", "version": "v1", "kind": "Foo"}]));
        assert_eq!(v3["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.a"}]));
        let metadata =
            json!({"description": "m", "allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}]});
        assert_eq!(v3["properties"]["metadata"], metadata);
        assert_eq!((&v3["description"], &v3["properties"]["kind"]["type"]), (&json!("d"), &json!("string")));
        let list = list_schema(&crd(json!({})), "v1", Flavour::V2, &Words::default()).unwrap();
        assert_eq!(list["properties"]["items"]["items"], json!({"$ref": "#/definitions/com.example.v1.Foo"}));
        assert_eq!(list[GVK][0]["kind"], "FooList");
        assert!(schema(&crd(json!({})), "v2", Flavour::V2, &Words::default()).is_none());
    }

    #[test]
    fn version_2_drops_what_it_cannot_say() {
        let x = |schema: Value| json!({"type": "object", "properties": {"x": schema}});
        let open = "x-kubernetes-preserve-unknown-fields";
        for (schema, v2, v3) in [
            (
                json!({"type": "string", "nullable": true, "minLength": 1}),
                json!({"minLength": 1}),
                json!({"type": "string", "nullable": true, "minLength": 1}),
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!({"x-kubernetes-int-or-string": true}),
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            (
                json!({"type": "object", open: true, "properties": {"a": {"type": "string"}}}),
                json!({open: true}),
                json!({"type": "object", open: true, "properties": {"a": {"type": "string"}}}),
            ),
            (
                json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}], "properties":
                    {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}], "properties":
                    {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
            ),
        ] {
            assert_eq!(published(x(schema.clone()), Flavour::V2)["properties"]["x"], v2);
            assert_eq!(published(x(schema), Flavour::V3)["properties"]["x"], v3);
        }
        let root = published(json!({"type": "object", open: true}), Flavour::V2);
        assert_eq!(root.get("properties"), None);
        let embedded = published(
            x(
                json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"s": {"type": "string"}}}),
            ),
            Flavour::V2,
        );
        assert_eq!(embedded["properties"]["x"]["required"], json!(["kind", "apiVersion"]));
        assert!(embedded["properties"]["x"]["properties"].get("metadata").is_some());
    }
}
