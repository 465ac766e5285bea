//! A policy from its text, refused in upstream's words.

use std::io;
use std::path::{Path, PathBuf};

use kube_object::field_error::FieldError;
use kube_object::{strict, yaml};
use serde_json::{Map, Value};

use super::fields::{Faults, POLICY};
use super::validate::validate;
use super::{Level, Policy, Resources, Rule, Stage, Stages};

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// The file cannot be read.
    #[error("loading audit policy file: failed to read file path {path:?}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What is in it is no policy.
    #[error("loading audit policy file: {why}: from file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: Fault,
    },
}

/// What is wrong with a policy's text.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No YAML, or not of a policy's types.
    #[error("failed decoding: {0}")]
    Decode(String),
    /// Of another group or version, or of none.
    #[error("unknown group version field {api_version}, Kind={kind} in policy")]
    Type {
        /// What it says of its version.
        api_version: String,
        /// What it says of its kind.
        kind: String,
    },
    /// Values that no policy may have.
    #[error("{}", aggregate(.0))]
    Values(Vec<FieldError>),
    /// There is no rule.
    #[error("loaded illegal policy with 0 rules")]
    NoRules,
}

/// A policy, and what is strange about its text.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What whoever wrote it should know: fields that do not exist and keys that stand twice, which
    /// upstream reads over as well.
    pub warning: Option<String>,
}

/// Reads a policy's file.
pub fn load(path: &Path) -> Result<Loaded, InvalidPolicy> {
    let bytes = std::fs::read(path).map_err(|error| InvalidPolicy::Read { path: path.to_owned(), error })?;
    parse(&bytes).map_err(|why| InvalidPolicy::File { path: path.to_owned(), why })
}

/// Reads a policy's text.
pub(super) fn parse(bytes: &[u8]) -> Result<Loaded, Fault> {
    let decoded = yaml::read(bytes).map_err(|error| Fault::Decode(error.to_string()))?;
    let fields = match decoded.value {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other => return Err(Fault::Decode(no_object(&other))),
    };
    let (api_version, kind) = type_of(&fields)?;
    let faults = Faults::of(&fields, &POLICY);
    if let Some(mismatch) = faults.mismatch {
        return Err(Fault::Decode(mismatch));
    }
    if api_version != VERSION {
        return Err(Fault::Type { api_version, kind });
    }
    validate(&fields).map_err(Fault::Values)?;
    let policy = Policy {
        rules: list(&fields, "rules").iter().map(rule).collect(),
        omit: stages(&fields),
        omit_managed_fields: flag(&fields, "omitManagedFields").unwrap_or(false),
    };
    if policy.rules.is_empty() {
        return Err(Fault::NoRules);
    }
    let mut notes: Vec<String> = strict::yaml_note(&decoded.duplicates).into_iter().collect();
    notes.extend(strict::unknown_notes(&faults.unknown));
    let warning = strict::message(&notes)
        .map(|why| format!("Audit policy contains errors, falling back to lenient decoding: {why}"));
    Ok(Loaded { policy, warning })
}

/// The version and kind that the text names; those that it leaves out are the internal type's, as
/// upstream shows them.
fn type_of(fields: &Map<String, Value>) -> Result<(String, String), Fault> {
    let named = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(Fault::Decode(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{name} \
             of type string",
            word(other)
        ))),
    };
    let (api_version, kind) = (named("apiVersion")?, named("kind")?);
    let kind = if kind.is_empty() { "Policy" } else { kind };
    let version = if api_version.is_empty() { INTERNAL } else { api_version };
    match (version, kind) {
        (VERSION | INTERNAL, "Policy") => Ok((version.to_owned(), kind.to_owned())),
        (VERSION, "PolicyList" | "Event" | "EventList") => {
            Err(Fault::Decode(format!("converting (v1.{kind}) to (audit.Policy): unknown conversion")))
        }
        (version, kind) => {
            let words =
                format!("no kind {kind:?} is registered for version {version:?} in scheme {SCHEME:?}");
            Err(Fault::Decode(words))
        }
    }
}

fn no_object(value: &Value) -> String {
    let of = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
              Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let what = word(value);
    format!(
        "couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type {of}"
    )
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn rule(value: &Value) -> Rule {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let level = text(fields, "level");
    Rule {
        level: Level::ALL.into_iter().find(|it| it.as_str() == level).unwrap_or_default(),
        users: texts(fields, "users"),
        groups: texts(fields, "userGroups"),
        verbs: texts(fields, "verbs"),
        resources: list(fields, "resources").iter().map(resources).collect(),
        namespaces: texts(fields, "namespaces"),
        paths: texts(fields, "nonResourceURLs"),
        omit: stages(fields),
        omit_managed_fields: flag(fields, "omitManagedFields"),
    }
}

fn resources(value: &Value) -> Resources {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    Resources {
        group: text(fields, "group").to_owned(),
        resources: texts(fields, "resources"),
        names: texts(fields, "resourceNames"),
    }
}

fn stages(fields: &Map<String, Value>) -> Stages {
    let named = texts(fields, "omitStages");
    let omitted = Stage::ALL.into_iter().filter(|stage| named.iter().any(|name| name == stage.as_str()));
    omitted.fold(Stages::default(), Stages::with)
}

pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Strings; a null among them is empty, as in Go.
pub(super) fn texts(fields: &Map<String, Value>, name: &str) -> Vec<String> {
    list(fields, name).iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

fn flag(fields: &Map<String, Value>, name: &str) -> Option<bool> {
    fields.get(name).and_then(Value::as_bool)
}

/// Many errors as one, as upstream joins them.
fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [only] => only.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

const VERSION: &str = "audit.k8s.io/v1";
const INTERNAL: &str = "audit.k8s.io/__internal";
/// Where upstream knows its audit types; it is in its messages.
const SCHEME: &str = "pkg/audit/scheme.go:30";
