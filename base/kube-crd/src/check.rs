//! What is wrong with a definition itself, in the API's words.
//!
//! Errors are put where the API puts them: what all versions say alike stands at the
//! top (`spec.validation`), and only what differs stands in its version.

pub(crate) mod approval;
mod conversion;
mod field_path;
mod fixed_defaults;
mod names;
mod openapi;
mod rule_costs;
mod structural;
mod subresources;
#[cfg(test)]
mod tests;
mod warnings;

use kube_object::field_error::FieldError;
use kube_object::names as rules;
use serde_json::{Value, json};

use crate::definition::texts;
use crate::path::Path;
use crate::rules::RuleCompiler;
use crate::schema::Structural;
use crate::status::is_condition_true;

pub(crate) use field_path::resolve as resolve_field_path;
pub use warnings::warnings;

/// What is wrong with a definition, new or in the place of `old`. Rules in CEL are
/// not compiled; metadata is checked by the rules of any kind, but for the name.
pub fn validate_crd(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    validate_crd_with(new, old, None)
}

/// As [`validate_crd`], with the rules in CEL and their costs.
pub fn validate_crd_with(
    new: &Value,
    old: Option<&Value>,
    compiler: Option<&dyn RuleCompiler>,
) -> Vec<FieldError> {
    let mut found = Vec::new();
    if old.is_none() {
        found.extend(names::of_object(new));
    }
    let spec = Spec::of(new);
    found.extend(spec.check(compiler));
    if let Some(old) = old {
        found.extend(names::immutable(new, old));
    }
    found.extend(validate_crd_status(new));
    found.extend(approval::check(new, old));
    let open =
        |crd: &Value| crd.pointer("/spec/preserveUnknownFields").and_then(Value::as_bool) == Some(true);
    if open(new) && !old.is_some_and(open) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        found.push(FieldError::invalid("spec.preserveUnknownFields", true, detail));
    }
    found
}

/// What is wrong with a definition's status.
pub fn validate_crd_status(crd: &Value) -> Vec<FieldError> {
    let accepted = crd.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    let mut found = names::check(&accepted, "status.acceptedNames");
    let path = "status.storedVersions";
    let stored = crd.get("status").map(|status| texts(status, "storedVersions")).unwrap_or_default();
    if stored.is_empty() {
        found.push(FieldError::invalid(path, json!([]), "must have at least one stored version"));
        return found;
    }
    let versions = Spec::of(crd).versions;
    let named = |version: &Value, name: &str| version.get("name").and_then(Value::as_str) == Some(name);
    for version in versions.iter().filter(|version| flag(version, "storage")) {
        let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
        if !stored.iter().any(|one| one == name) {
            let detail = format!("must have the storage version {name}");
            found.push(FieldError::invalid(path, json!(stored), detail));
        }
    }
    for (at, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| named(version, name)) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            found.push(FieldError::invalid(format!("{path}[{at}]"), name.as_str(), detail));
        }
    }
    found
}

/// Where the schemas of a definition are not structural, by version.
pub(crate) fn structural_errors(crd: &Value) -> Vec<FieldError> {
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let mut found = Vec::new();
    for (at, version) in versions.enumerate() {
        let schema = version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object());
        let Some(Ok(schema)) = schema.map(Structural::parse_root) else { continue };
        let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
        found.extend(structural::errors(&schema, &Path::From(&path)));
    }
    found
}

/// A definition's spec, and which parts all its versions say alike.
struct Spec<'a> {
    spec: &'a Value,
    versions: Vec<&'a Value>,
    same_schema: bool,
    same_subresources: bool,
    same_columns: bool,
    same_selectable: bool,
}

impl<'a> Spec<'a> {
    fn of(crd: &'a Value) -> Self {
        let spec = crd.get("spec").unwrap_or(&Value::Null);
        let versions: Vec<&Value> =
            spec.get("versions").and_then(Value::as_array).into_iter().flatten().collect();
        let same = |name: &str| versions.windows(2).all(|two| said(two[0], name) == said(two[1], name));
        Self {
            same_schema: same("schema"),
            same_subresources: same("subresources"),
            same_columns: same("additionalPrinterColumns"),
            same_selectable: same("selectableFields"),
            spec,
            versions,
        }
    }

    fn check(&self, compiler: Option<&dyn RuleCompiler>) -> Vec<FieldError> {
        let mut found = self.group_and_scope();
        for (at, version) in self.versions.iter().enumerate() {
            if version.pointer("/schema/openAPIV3Schema").is_none_or(|schema| !schema.is_object()) {
                let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
                found.push(FieldError::required(path, ""));
            }
        }
        found.extend(self.open_with_defaults());
        for (at, version) in self.versions.iter().enumerate() {
            let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
            let wrong = rules::dns1035_label(name);
            if !wrong.is_empty() {
                let path = format!("spec.versions[{at}].name");
                found.push(FieldError::invalid(path, name, wrong.join(",")));
            }
            found.extend(self.version(version, &format!("spec.versions[{at}]"), compiler));
        }
        found.extend(self.version_set());
        found.extend(names::required(self.spec));
        let names = self.spec.get("names").cloned().unwrap_or_default();
        found.extend(names::check(&names, "spec.names"));
        if let Some(first) = self.versions.first() {
            found.extend(self.shared(first, compiler));
        }
        found.extend(conversion::check(self.spec));
        found
    }

    fn group_and_scope(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let group = self.spec.get("group").and_then(Value::as_str).unwrap_or_default();
        let wrong = rules::dns1123_subdomain(group);
        if group.is_empty() {
            found.push(FieldError::required("spec.group", ""));
        } else if !wrong.is_empty() {
            found.push(FieldError::invalid("spec.group", group, wrong.join(",")));
        } else if !group.contains('.') {
            let detail = "should be a domain with at least one dot";
            found.push(FieldError::invalid("spec.group", group, detail));
        }
        match self.spec.get("scope").and_then(Value::as_str).unwrap_or_default() {
            "" => found.push(FieldError::required("spec.scope", "")),
            "Cluster" | "Namespaced" => {}
            other => {
                found.push(FieldError::not_supported("spec.scope", other, &["Cluster", "Namespaced"]));
            }
        }
        found
    }

    fn open_with_defaults(&self) -> Option<FieldError> {
        let open = self.spec.get("preserveUnknownFields").and_then(Value::as_bool) == Some(true);
        let mut defaults = false;
        for schema in self.versions.iter().filter_map(|version| version.pointer("/schema/openAPIV3Schema")) {
            if let Ok(schema) = Structural::parse(schema) {
                schema.each(&mut |node| defaults |= node.default.is_some());
            }
        }
        let detail = "must be false in order to use defaults in the schema";
        (open && defaults).then(|| FieldError::invalid("spec.preserveUnknownFields", true, detail))
    }

    /// What only this version says.
    fn version(&self, version: &Value, path: &str, compiler: Option<&dyn RuleCompiler>) -> Vec<FieldError> {
        let mut found = subresources::deprecation(version, path);
        if !self.same_schema {
            let status = has_status(version);
            found.extend(schema(version, &format!("{path}.schema"), status, compiler));
        }
        if !self.same_subresources {
            found.extend(subresources::check(version, &format!("{path}.subresources")));
        }
        if !self.same_columns {
            found.extend(subresources::columns(version, &format!("{path}.additionalPrinterColumns")));
        }
        if !self.same_selectable {
            found.extend(subresources::selectable(version, &format!("{path}.selectableFields")));
        }
        found
    }

    /// What all versions say.
    fn shared(&self, first: &Value, compiler: Option<&dyn RuleCompiler>) -> Vec<FieldError> {
        let mut found = Vec::new();
        if self.same_schema {
            let status = self.versions.iter().any(|version| has_status(version));
            found.extend(schema(first, "spec.validation", status, compiler));
        }
        if self.same_subresources {
            found.extend(subresources::check(first, "spec.subresources"));
        }
        if self.same_columns {
            found.extend(subresources::columns(first, "spec.additionalPrinterColumns"));
        }
        if self.same_selectable {
            found.extend(subresources::selectable(first, "spec.selectableFields"));
        }
        found
    }

    fn version_set(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let name = |version: &&Value| version.get("name").and_then(Value::as_str).map(str::to_owned);
        let names: std::collections::BTreeSet<_> = self.versions.iter().map(name).collect();
        if names.len() != self.versions.len() {
            found.push(FieldError::invalid(
                "spec.versions",
                self.shown(),
                "must contain unique version names",
            ));
        }
        if self.versions.iter().filter(|version| flag(version, "storage")).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            found.push(FieldError::invalid("spec.versions", self.shown(), detail));
        }
        found
    }

    /// The versions as the API shows them in such errors, without their schemas.
    fn shown(&self) -> Value {
        let one = |version: &&Value| {
            json!({
                "Name": version.get("name"), "Served": flag(version, "served"), "Storage": flag(version, "storage"),
                "Deprecated": flag(version, "deprecated"), "DeprecationWarning": version.get("deprecationWarning"),
                "Schema": null, "Subresources": null, "AdditionalPrinterColumns": null, "SelectableFields": null,
            })
        };
        if self.versions.is_empty() { Value::Null } else { self.versions.iter().map(one).collect() }
    }
}

/// What is wrong with a version's schema; `path` is that of what holds it.
fn schema(version: &Value, path: &str, status: bool, compiler: Option<&dyn RuleCompiler>) -> Vec<FieldError> {
    let raw = version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object());
    let Some(raw) = raw else { return Vec::new() };
    let path = format!("{path}.openAPIV3Schema");
    let schema = match Structural::parse_root(raw) {
        Ok(schema) => schema,
        Err(error) => return vec![FieldError::invalid(path, "", error.to_string())],
    };
    let mut found = if status { openapi::root_words(raw, &path) } else { Vec::new() };
    if schema.nullable {
        found.push(FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    let at = Path::From(&path);
    let unsupported = structural::unsupported(&schema);
    let mut structural = Vec::new();
    if unsupported.is_none() {
        structural = structural::errors(&schema, &at);
        if structural.is_empty() {
            structural = fixed_defaults::errors(&schema, &at, compiler);
        }
    }
    // Rules are compiled only where their types can be told.
    let compiler = compiler.filter(|_| unsupported.is_none() && structural.is_empty());
    found.extend(structural);
    let mut costs = rule_costs::Total::default();
    let (errors, rule_errors) = openapi::errors(&schema, &at, compiler, &mut costs);
    found.extend(errors);
    found.extend(rule_errors);
    if found.is_empty() {
        found.extend(unsupported.map(|words| FieldError::invalid(path.clone(), "", words)));
    }
    found.extend(costs.errors(&path));
    found
}

fn has_status(version: &Value) -> bool {
    version.pointer("/subresources/status").is_some_and(Value::is_object)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// What a version says of a field; null and an empty list say nothing.
fn said<'a>(version: &'a Value, name: &str) -> Option<&'a Value> {
    version.get(name).filter(|value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty()))
}

/// Whether a definition has been established, so that what its objects' places depend on is fixed.
fn is_established(crd: &Value) -> bool {
    is_condition_true(crd, "Established")
}
