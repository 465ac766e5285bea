//! Structural schemas: every value's type is said outside of `allOf`, `anyOf`, `oneOf`
//! and `not`, which only restrict.

use kube_object::field_error::FieldError;

use crate::path::Path;
use crate::schema::{Additional, Checks, Structural};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Where a schema is not structural, sorted by the errors' texts.
pub(super) fn errors(schema: &Structural, path: &Path<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    invariants(schema, Level::Root, path, &mut found);
    complete_checks(&schema.checks, Some(schema), path, path, &mut found);
    found.sort_by_cached_key(ToString::to_string);
    found
}

/// The first word of JSON Schema that has no place in such schemas.
pub(super) fn unsupported(schema: &Structural) -> Option<String> {
    let mut found = None;
    schema.each(&mut |node| {
        let word = node.unsupported.first().map(|name| name.strip_prefix("$s").map_or(*name, |_| "schema"));
        if found.is_none() {
            found = word.map(|name| format!("OpenAPIV3Schema '{name}' is not supported"));
        }
        if found.is_none() && node.extras.items_is_list {
            found = Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
        }
        if found.is_none() && node.extras.preserve_is_false {
            let words = "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
            found = Some(words.to_owned());
        }
    });
    found
}

fn invariants(schema: &Structural, level: Level, path: &Path<'_>, found: &mut Vec<FieldError>) {
    if schema.kind == "array" && schema.items.is_none() {
        found.push(FieldError::required(path.child("items").to_string(), "must be specified"));
    }
    if let Some(items) = &schema.items {
        invariants(items, Level::Item, &path.child("items"), found);
    }
    let properties = path.child("properties");
    for (name, below) in &schema.properties {
        invariants(below, Level::Field, &properties.key(name), found);
    }
    let additional = path.child("additionalProperties");
    if schema.additional.is_some() && level == Level::Root {
        found.push(FieldError::forbidden(additional.to_string(), "must not be used at the root"));
    }
    if let Some(Additional::Schema(below)) = &schema.additional {
        invariants(below, Level::Field, &additional, found);
    }
    extensions(schema, path, found);
    let first_all_of = schema.checks.all_of.first();
    let skip = Skip {
        any_of: is_int_or_string(&schema.checks.any_of),
        first_all_of: first_all_of.is_some_and(|one| is_int_or_string(&one.checks.any_of)),
    };
    checks(&schema.checks, skip, path, found);
    kind(schema, level, path, found);
    metadata(schema, level, path, found);
    if schema.embedded && !schema.preserve && schema.properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        found.push(FieldError::required(properties.to_string(), detail));
    }
}

fn extensions(schema: &Structural, path: &Path<'_>, found: &mut Vec<FieldError>) {
    let detail = "must be false if x-kubernetes-int-or-string is true";
    if schema.int_or_string && schema.preserve {
        let path = path.child("x-kubernetes-preserve-unknown-fields").to_string();
        found.push(FieldError::invalid(path, true, detail));
    }
    if schema.int_or_string && schema.embedded {
        let path = path.child("x-kubernetes-embedded-resource").to_string();
        found.push(FieldError::invalid(path, true, detail));
    }
}

fn kind(schema: &Structural, level: Level, path: &Path<'_>, found: &mut Vec<FieldError>) {
    let at = path.child("type").to_string();
    let kind = schema.kind.as_str();
    if schema.embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        found.push(match kind {
            "" => FieldError::required(at.clone(), detail),
            kind => FieldError::invalid(at.clone(), kind, detail),
        });
    } else if kind.is_empty() && !schema.int_or_string && !schema.preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        found.push(FieldError::required(at.clone(), detail));
    }
    if schema.embedded && schema.additional.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        found.push(FieldError::forbidden(path.child("additionalProperties").to_string(), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        found.push(FieldError::invalid(at, kind, "must be object at the root"));
    }
}

fn metadata(schema: &Structural, level: Level, path: &Path<'_>, found: &mut Vec<FieldError>) {
    let resource = level == Level::Root || schema.embedded;
    let properties = path.child("properties");
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(below) = schema.properties.get(name).filter(|_| resource) else { continue };
        if below.kind != wanted {
            let at = properties.key(name);
            let path = at.child("type").to_string();
            found.push(FieldError::invalid(path, below.kind.as_str(), format!("must be {wanted}")));
        }
    }
    let meta = schema.properties.get("metadata").filter(|_| level == Level::Root);
    if meta.is_some_and(|meta| !only_names(meta)) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        found.push(FieldError::forbidden(properties.key("metadata").to_string(), detail));
    }
}

/// Whether a schema of metadata says nothing but of its name.
fn only_names(meta: &Structural) -> bool {
    let named = meta.properties.keys().all(|name| name == "name" || name == "generateName");
    named && says_nothing(meta, &["type", "default", "properties"])
}

/// Whether a node says nothing but what is listed.
fn says_nothing(node: &Structural, except: &[&str]) -> bool {
    let but = |name: &str, empty: bool| empty || except.contains(&name);
    let (checks, extras) = (&node.checks, &node.extras);
    but("type", node.kind.is_empty())
        && but("default", node.default.is_none())
        && but("properties", node.properties.is_empty())
        && node.items.is_none()
        && node.additional.is_none()
        && node.rules.is_empty()
        && node.list_keys.is_empty()
        && node.list_type.is_none()
        && node.map_type.is_none()
        && !(node.nullable || node.preserve || node.embedded || node.int_or_string)
        && !(extras.has_title || extras.has_description)
        && checks_nothing(checks)
}

fn checks_nothing(checks: &Checks) -> bool {
    let counts = [
        checks.max_length,
        checks.min_length,
        checks.max_items,
        checks.min_items,
        checks.max_properties,
        checks.min_properties,
    ];
    let numbers = [checks.maximum, checks.minimum, checks.multiple_of];
    let junctors = [&checks.all_of, &checks.any_of, &checks.one_of];
    checks.format.is_empty()
        && counts.iter().all(Option::is_none)
        && numbers.iter().all(Option::is_none)
        && junctors.iter().all(|all| all.is_empty())
        && checks.pattern.is_none()
        && checks.not.is_none()
        && checks.values.is_empty()
        && checks.required.is_empty()
        && !(checks.unique_items || checks.exclusive_maximum || checks.exclusive_minimum)
}

/// `anyOf: [{type: integer}, {type: string}]`, the one place where types may stand in a junctor.
fn is_int_or_string(any_of: &[Structural]) -> bool {
    let only = |node: &Structural, kind: &str| node.kind == kind && says_nothing(node, &["type"]);
    matches!(any_of, [one, other] if only(one, "integer") && only(other, "string"))
}

#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_all_of: bool,
}

fn checks(checks: &Checks, skip: Skip, path: &Path<'_>, found: &mut Vec<FieldError>) {
    if !skip.any_of {
        let above = path.child("anyOf");
        for (at, one) in checks.any_of.iter().enumerate() {
            nested(one, Skip::default(), &above.index(at), found);
        }
    }
    let above = path.child("allOf");
    for (at, one) in checks.all_of.iter().enumerate() {
        let skip = Skip { any_of: skip.first_all_of && at == 0, first_all_of: false };
        nested(one, skip, &above.index(at), found);
    }
    let above = path.child("oneOf");
    for (at, one) in checks.one_of.iter().enumerate() {
        nested(one, Skip::default(), &above.index(at), found);
    }
    if let Some(not) = &checks.not {
        nested(not, Skip::default(), &path.child("not"), found);
    }
    if let Some(pattern) = &checks.pattern
        && let Some(error) = pattern.error()
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        found.push(FieldError::invalid(path.child("pattern").to_string(), pattern.text(), detail));
    }
}

/// A node that only restricts.
fn nested(node: &Structural, skip: Skip, path: &Path<'_>, found: &mut Vec<FieldError>) {
    checks(&node.checks, skip, path, found);
    if let Some(items) = &node.items {
        nested(items, Skip::default(), &path.child("items"), found);
    }
    let properties = path.child("properties");
    for (name, below) in &node.properties {
        nested(below, Skip::default(), &properties.key(name), found);
    }
    let additional = match &node.additional {
        None | Some(Additional::Any(false)) => false,
        Some(_) => true,
    };
    let (empty, undefined, no) = ("empty", "undefined", "false");
    let forbidden = [
        (!node.kind.is_empty(), "type", empty),
        (additional, "additionalProperties", undefined),
        (node.default.is_some(), "default", undefined),
        (node.extras.has_title, "title", empty),
        (node.extras.has_description, "description", empty),
        (node.nullable, "nullable", no),
        (node.preserve, "x-kubernetes-preserve-unknown-fields", no),
        (node.embedded, "x-kubernetes-embedded-resource", no),
        (node.int_or_string, "x-kubernetes-int-or-string", no),
        (!node.list_keys.is_empty(), "x-kubernetes-list-map-keys", empty),
        (node.list_type.is_some(), "x-kubernetes-list-type", undefined),
        (node.map_type.is_some(), "x-kubernetes-map-type", undefined),
        (!node.rules.is_empty(), "x-kubernetes-validations", empty),
    ];
    for (_, name, wanted) in forbidden.into_iter().filter(|(said, ..)| *said) {
        let detail = format!("must be {wanted} to be structural");
        found.push(FieldError::forbidden(path.child(name).to_string(), detail));
    }
    if node.properties.contains_key("metadata") {
        let detail = "must not be specified in a nested context";
        found.push(FieldError::forbidden(properties.key("metadata").to_string(), detail));
    }
}

/// Everything that is restricted has its type said at `structure`.
fn complete_checks(
    checks: &Checks,
    structure: Option<&Structural>,
    said: &Path<'_>,
    path: &Path<'_>,
    found: &mut Vec<FieldError>,
) {
    if let Some(not) = &checks.not {
        complete(not, structure, said, &path.child("not"), found);
    }
    for (name, all) in [("allOf", &checks.all_of), ("anyOf", &checks.any_of), ("oneOf", &checks.one_of)] {
        let above = path.child(name);
        for (at, one) in all.iter().enumerate() {
            complete(one, structure, said, &above.index(at), found);
        }
    }
}

fn complete(
    node: &Structural,
    structure: Option<&Structural>,
    said: &Path<'_>,
    path: &Path<'_>,
    found: &mut Vec<FieldError>,
) {
    let Some(structure) = structure else {
        found.push(FieldError::required(said.to_string(), format!("because it is defined in {path}")));
        return;
    };
    complete_checks(&node.checks, Some(structure), said, path, found);
    if let Some(items) = &node.items {
        let below = structure.items.as_deref();
        complete(items, below, &said.child("items"), &path.child("items"), found);
    }
    let (said, path) = (said.child("properties"), path.child("properties"));
    for (name, below) in &node.properties {
        complete(below, structure.properties.get(name), &said.key(name), &path.key(name), found);
    }
}
