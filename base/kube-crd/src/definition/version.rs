//! One version of a definition, and the order of versions.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::selectable::selectable_fields;
use super::{CompileError, ScalePaths, Version, text};
use crate::columns;
use crate::rules::{RuleCompiler, Rules};
use crate::schema::Structural;

pub(super) fn compile(
    version: &Value,
    all: &[Value],
    group: &str,
    kind: &str,
    whole_open: bool,
    compiler: Option<&dyn RuleCompiler>,
) -> Result<Version, CompileError> {
    let name = text(version, "name").ok_or(CompileError::Missing("the name of a version"))?;
    let flag = |name: &str| version.get(name).and_then(Value::as_bool).unwrap_or_default();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema"));
    let parsed = Structural::parse_root(schema.filter(|schema| schema.is_object()).unwrap_or(&open));
    let mut schema = parsed.map_err(|source| CompileError::Schema { version: name.clone(), source })?;
    schema.preserve |= whole_open;
    prune_defaults(&mut schema);
    let subresources = version.get("subresources");
    let has = |name: &str| subresources.and_then(|all| all.get(name)).filter(|one| one.is_object());
    let warning = version.get("deprecationWarning").and_then(Value::as_str).map(str::to_owned);
    let default_warning = || Some(deprecation(group, &name, kind, all));
    Ok(Version {
        served: flag("served"),
        storage: flag("storage"),
        deprecated: flag("deprecated"),
        deprecation_warning: if flag("deprecated") { warning.or_else(default_warning) } else { None },
        status: has("status").is_some(),
        scale: has("scale").and_then(ScalePaths::parse),
        columns: columns::of_version(version),
        selectable_fields: selectable_fields(version),
        rules: compiler.and_then(|compiler| Rules::compile(&schema, compiler)).map(Arc::new),
        schema: Arc::new(schema),
        name,
    })
}

/// What users of a deprecated version are told where the definition has no words of
/// its own: also which version to use, if a better one is served.
fn deprecation(group: &str, name: &str, kind: &str, all: &[Value]) -> String {
    let flag = |version: &Value, name: &str| version.get(name).and_then(Value::as_bool) == Some(true);
    let good = all.iter().filter(|version| flag(version, "served") && !flag(version, "deprecated"));
    let names = good.filter_map(|version| version.get("name").and_then(Value::as_str));
    let best = names.filter(|other| compare(other, name).is_lt()).min_by(|one, other| compare(one, other));
    let instead = best.map(|best| format!("; use {group}/{best} {kind}")).unwrap_or_default();
    format!("{group}/{name} {kind} is deprecated{instead}")
}

/// A default holds only what its schema knows, or reading would add what writing drops.
fn prune_defaults(schema: &mut Structural) {
    if let Some(mut default) = schema.default.take() {
        crate::value::prune::prune(&mut default, schema);
        schema.default = Some(default);
    }
    schema.properties.values_mut().for_each(prune_defaults);
    schema.items.as_deref_mut().into_iter().for_each(prune_defaults);
    if let Some(crate::schema::Additional::Schema(below)) = &mut schema.additional {
        prune_defaults(below);
    }
}

/// The order in which versions are preferred: stable before beta before alpha, later
/// before earlier; then what has not the form of a version, by its letters.
pub fn compare(one: &str, other: &str) -> Ordering {
    match (rank(one), rank(other)) {
        (Some(one), Some(other)) => other.cmp(&one),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

/// `v2beta1` is version 2, beta, 1.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let major = number(&rest[..digits])?;
    let (stability, minor) = match &rest[digits..] {
        "" => return Some((2, major, 0)),
        rest => match rest.strip_prefix("beta") {
            Some(minor) => (1, minor),
            None => (0, rest.strip_prefix("alpha")?),
        },
    };
    Some((stability, major, number(minor)?))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
