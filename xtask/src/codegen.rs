//! `cargo xtask codegen`: the Kubernetes API's published description → `kube-schema`'s table.
//!
//! The format is described in `docs/design/schema.md`.

mod names;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Map, Value};
use sources::Facts;

/// Where the downloaded files lie.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kubernetes' `api/openapi-spec/swagger.json`
    #[arg(long, value_name = "FILE")]
    swagger: PathBuf,
    /// Folder with Kubernetes' `generated.proto` and `types.go` files, searched recursively
    #[arg(long, value_name = "DIR")]
    proto: Option<PathBuf>,
    /// The release that the files are of
    #[arg(long, default_value = "1.36")]
    release: String,
}

/// Writes `base/kube-schema/data/schema.txt`.
pub(crate) fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let text = std::fs::read(&args.swagger).with_context(|| format!("read {}", args.swagger.display()))?;
    let swagger: Value = serde_json::from_slice(&text).context("parse the API description")?;
    let facts = args.proto.as_deref().map(sources::read).transpose()?.unwrap_or_default();
    let table = table(&args.release, &swagger, &facts)?;
    let target = root.join("base/kube-schema/data/schema.txt");
    std::fs::write(&target, &table).with_context(|| format!("write {}", target.display()))?;
    println!("{}: {} KiB", target.display(), table.len() / 1024);
    Ok(())
}

/// The whole table.
fn table(release: &str, swagger: &Value, facts: &Facts) -> anyhow::Result<String> {
    let definitions = swagger["definitions"].as_object().context("the file has no definitions")?;
    let ids: BTreeMap<&str, usize> = definitions
        .iter()
        .filter(|(name, definition)| definition["properties"].is_object() || sources::empty(facts, name))
        .map(|(name, _)| name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .enumerate()
        .map(|(id, name)| (name, id))
        .collect();
    let mut out = format!("strake-kube-schema 1 {release}\n");
    resources(&mut out, swagger, definitions, &ids)?;
    for name in ids.keys() {
        object(&mut out, name, definitions, &ids, facts)?;
    }
    Ok(out)
}

/// Group, version and kind, or plural where it names a resource.
type Gvk = (String, String, String);

/// What the paths say of one resource.
#[derive(Default)]
struct Resource {
    kind: Gvk,
    namespaced: bool,
    verbs: BTreeSet<&'static str>,
    subresources: BTreeMap<String, (Gvk, BTreeSet<&'static str>)>,
}

fn resources(
    out: &mut String,
    swagger: &Value,
    definitions: &Map<String, Value>,
    ids: &BTreeMap<&str, usize>,
) -> anyhow::Result<()> {
    let mut types = BTreeMap::new();
    for (name, definition) in definitions {
        for gvk in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            types.insert(gvk_of(gvk), name.as_str());
        }
    }
    let mut found: BTreeMap<Gvk, Resource> = BTreeMap::new();
    for (path, item) in swagger["paths"].as_object().context("the file has no paths")? {
        collect(path, item, &mut found);
    }
    for ((group, version, plural), resource) in found {
        if resource.kind.2.is_empty() {
            continue;
        }
        let name = types.get(&resource.kind).with_context(|| format!("{plural} has no type"))?;
        let id = ids.get(name).with_context(|| format!("{name} has no fields"))?;
        let kind = &resource.kind.2;
        let scope = if resource.namespaced { "N" } else { "C" };
        let (short, categories) = (names::short_names(&group, &plural), names::categories(&group, &plural));
        let verbs = joined(&resource.verbs);
        let singular = kind.to_lowercase();
        let shown = if group.is_empty() { "-" } else { &group };
        writeln!(
            out,
            "K {shown} {version} {kind} {plural} {singular} {scope} {short} {categories} {verbs} {id}"
        )?;
        for (name, ((group, version, kind), verbs)) in resource.subresources {
            let group = if group.is_empty() { "-" } else { &group };
            writeln!(out, "S {name} {group} {version} {kind} {}", joined(&verbs))?;
        }
    }
    Ok(())
}

fn joined(verbs: &BTreeSet<&'static str>) -> String {
    verbs.iter().copied().collect::<Vec<_>>().join(",")
}

fn gvk_of(value: &Value) -> Gvk {
    let part = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    (part("group"), part("version"), part("kind"))
}

/// Adds one path's operations to the resource that it belongs to.
fn collect(path: &str, item: &Value, found: &mut BTreeMap<Gvk, Resource>) {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = match parts.first() {
        Some(&"api") => String::new(),
        Some(&"apis") if parts.len() > 3 => parts.remove(1).to_owned(),
        _ => return,
    };
    if parts.len() < 3 {
        return;
    }
    let version = parts[1].to_owned();
    let mut rest = &parts[2..];
    let watched = rest.first() == Some(&"watch");
    if watched {
        rest = &rest[1..];
    }
    let namespaced = rest.len() > 2 && rest[0] == "namespaces" && rest[1] == "{namespace}";
    if namespaced {
        rest = &rest[2..];
    }
    let Some(plural) = rest.first() else { return };
    let resource = found.entry((group, version, (*plural).to_owned())).or_default();
    resource.namespaced |= namespaced;
    for (method, operation) in item.as_object().into_iter().flatten() {
        let Some(verb) = verb(method, operation["x-kubernetes-action"].as_str()) else { continue };
        let gvk = gvk_of(&operation["x-kubernetes-group-version-kind"]);
        match rest {
            [_] | [_, "{name}"] => {
                resource.verbs.insert(verb);
                resource.kind = gvk;
            }
            [_, "{name}", subresource] => {
                let known = resource.subresources.entry((*subresource).to_owned()).or_default();
                known.0 = gvk;
                known.1.insert(verb);
            }
            _ => {}
        }
    }
}

/// The request verb, as discovery and RBAC name it.
fn verb(method: &str, action: Option<&str>) -> Option<&'static str> {
    Some(match (action?, method) {
        ("get", _) | ("connect", "get") => "get",
        ("list", _) => "list",
        ("watch" | "watchlist", _) => "watch",
        ("post", _) | ("connect", "post") => "create",
        ("put", _) | ("connect", "put") => "update",
        ("patch", _) | ("connect", "patch") => "patch",
        ("delete", _) | ("connect", "delete") => "delete",
        ("deletecollection", _) => "deletecollection",
        _ => return None,
    })
}

/// One object type with its fields.
fn object(
    out: &mut String,
    name: &str,
    definitions: &Map<String, Value>,
    ids: &BTreeMap<&str, usize>,
    facts: &Facts,
) -> anyhow::Result<()> {
    let definition = &definitions[name];
    let map_type = definition["x-kubernetes-map-type"].as_str().unwrap_or("-");
    writeln!(out, "T {name} {map_type}")?;
    let required: BTreeSet<&str> =
        definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let json: Vec<&str> =
        definition["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    for (field, value) in definition["properties"].as_object().into_iter().flatten() {
        ensure!(!field.contains([' ', '\n']), "{name}.{field} has a blank");
        let kind = kind(value, definitions, ids).with_context(|| format!("{name}.{field}"))?;
        write!(out, "F {field} {kind}")?;
        if required.contains(field.as_str()) {
            write!(out, " r")?;
        }
        let text = |key: &str| value[key].as_str();
        for (mark, key) in [
            ('l', "x-kubernetes-list-type"),
            ('m', "x-kubernetes-map-type"),
            ('p', "x-kubernetes-patch-strategy"),
            ('g', "x-kubernetes-patch-merge-key"),
        ] {
            // Bytes are marked as lists upstream; here they are strings.
            if let Some(value) = text(key).filter(|_| mark != 'l' || kind.starts_with("[]")) {
                write!(out, " {mark}={value}")?;
            }
        }
        let keys: Vec<&str> = value["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !keys.is_empty() {
            write!(out, " k={}", keys.join(","))?;
        }
        if let Some((numbers, known)) = sources::find(facts, name, field, &json) {
            write!(out, " n={numbers}")?;
            if known.keeps_zero && SCALARS.iter().any(|scalar| kind.starts_with(scalar)) {
                out.push_str(" z");
            }
            if !known.values.is_empty() {
                write!(out, " e={}", known.values.join("|"))?;
            }
            // Last, since JSON may hold blanks.
            if let Some(default) = &known.default {
                write!(out, " d={default}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A type expression: a letter, a reference, or `[]` and `{}` before another.
fn kind(
    value: &Value,
    definitions: &Map<String, Value>,
    ids: &BTreeMap<&str, usize>,
) -> anyhow::Result<String> {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.trim_start_matches("#/definitions/");
        if let Some(id) = ids.get(name) {
            return Ok(format!("@{id}"));
        }
        let definition = definitions.get(name).with_context(|| format!("{name} is not defined"))?;
        return match name.rsplit('.').next() {
            Some("Quantity") => Ok("quantity".to_owned()),
            Some("MicroTime") => Ok("microtime".to_owned()),
            _ => kind(definition, definitions, ids),
        };
    }
    let format = value["format"].as_str();
    Ok(match (value["type"].as_str(), format) {
        (Some("array"), _) => format!("[]{}", kind(&value["items"], definitions, ids)?),
        (Some("object"), _) if value["additionalProperties"].is_object() => {
            format!("{{}}{}", kind(&value["additionalProperties"], definitions, ids)?)
        }
        (Some("string"), Some("int-or-string")) => "intorstring".to_owned(),
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("string"), Some(format)) => format!("string:{format}"),
        (Some("string"), None) => "string".to_owned(),
        (Some("integer"), Some("int64")) => "int64".to_owned(),
        (Some("integer"), _) => "int32".to_owned(),
        (Some("number"), _) => "double".to_owned(),
        (Some("boolean"), _) => "bool".to_owned(),
        (Some("object") | None, _) => "any".to_owned(),
        (Some(other), _) => anyhow::bail!("unknown type {other}"),
    })
}

/// Types whose zero may mean something.
const SCALARS: &[&str] = &["string", "int", "bool", "double"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_resources_types_and_fields() {
        let gvk = serde_json::json!({"group": "", "version": "v1", "kind": "Pod"});
        let swagger = serde_json::json!({
            "definitions": {"io.k8s.api.core.v1.Pod": {
                "required": ["spec"],
                "properties": {"spec": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}},
                "x-kubernetes-group-version-kind": [gvk],
            }},
            "paths": {
                "/api/v1/namespaces/{namespace}/pods": {"post": {
                    "x-kubernetes-action": "post", "x-kubernetes-group-version-kind": gvk}},
                "/api/v1/namespaces/{namespace}/pods/{name}/log": {"get": {
                    "x-kubernetes-action": "get", "x-kubernetes-group-version-kind": gvk}},
            },
        });
        let text = table("1.36", &swagger, &Facts::new()).expect("a table");
        let wanted = "strake-kube-schema 1 1.36\n\
            K - v1 Pod pods pod N po all create 0\n\
            S log - v1 Pod get\n\
            T io.k8s.api.core.v1.Pod -\n\
            F spec []string r l=set\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn an_empty_message_is_a_type_and_raw_json_is_not() {
        let mut facts = Facts::new();
        sources::proto(
            "package k8s.io.a;\nmessage Empty {\n}\nmessage Raw {\n  optional bytes raw = 1;\n}\n",
            &mut facts,
        );
        let swagger = serde_json::json!({
            "definitions": {
                "io.k8s.a.Empty": {"type": "object"},
                "io.k8s.a.Raw": {"type": "object"},
                "io.k8s.a.Whole": {"properties": {
                    "empty": {"$ref": "#/definitions/io.k8s.a.Empty"},
                    "raw": {"$ref": "#/definitions/io.k8s.a.Raw"},
                }},
            },
            "paths": {},
        });
        let text = table("1.36", &swagger, &facts).expect("a table");
        let wanted = "strake-kube-schema 1 1.36\n\
            T io.k8s.a.Empty -\n\
            T io.k8s.a.Whole -\n\
            F empty @0\n\
            F raw any\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        let swagger = serde_json::json!({
            "definitions": {"A": {"properties": {"b": {"$ref": "#/definitions/B"}}}}, "paths": {},
        });
        assert!(table("1.36", &swagger, &Facts::new()).is_err());
    }
}
