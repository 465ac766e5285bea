//! Reads Kubernetes' `generated.proto` (field numbers, defaults) and `types.go` (enums, pointers).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;

/// What the sources say of one field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// The number on the protobuf wire.
    pub(crate) number: Option<u32>,
    /// The definition of its type, where that is a message.
    pub(crate) message: String,
    /// The default as JSON.
    pub(crate) default: Option<String>,
    /// Whether Go writes a zero value out: it is a pointer, or lacks `omitempty`.
    pub(crate) keeps_zero: bool,
    /// The values that the field's string type allows.
    pub(crate) values: Vec<String>,
}

/// Facts by definition (`io.k8s.api.core.v1.Pod`) and field.
pub(crate) type Facts = BTreeMap<String, BTreeMap<String, Field>>;

/// Reads every `generated.proto` below `dir`, with the Go sources beside it.
pub(crate) fn read(dir: &Path) -> anyhow::Result<Facts> {
    let mut facts = Facts::new();
    walk(dir, &mut facts)?;
    Ok(facts)
}

fn walk(dir: &Path, facts: &mut Facts) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    for path in &paths {
        if path.is_dir() {
            walk(path, facts)?;
        }
    }
    let Some(path) = paths.iter().find(|path| path.ends_with("generated.proto")) else { return Ok(()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let prefix = proto(&text, facts);
    for path in paths.iter().filter(|path| holds_types(path)) {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        go(&text, &prefix, facts);
    }
    Ok(())
}

/// `types.go`, or `types_jsonschema.go`: apiextensions splits its types.
fn holds_types(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "types.go" || name == "types_jsonschema.go"
}

/// Adds a proto file's fields and returns the prefix of its definitions.
pub(crate) fn proto(text: &str, facts: &mut Facts) -> String {
    let (mut prefix, mut message, mut default) = (String::new(), None, None);
    for line in text.lines().map(str::trim) {
        if let Some(package) = line.strip_prefix("package ") {
            let package = package.trim_end_matches(';');
            prefix = definition(package);
        } else if let Some(name) = line.strip_prefix("message ") {
            let name = format!("{prefix}.{}", name.trim_end_matches(" {"));
            facts.entry(name.clone()).or_default();
            message = Some(name);
        } else if line == "}" {
            message = None;
        } else if let Some(value) = line.strip_prefix("// +default=") {
            // `ref(...)` names a Go constant, which is no JSON.
            default = serde_json::from_str::<serde_json::Value>(value).ok().map(|value| value.to_string());
        } else if let (Some(message), Some((kind, name, number))) = (&message, field(line)) {
            let known = facts.entry(message.clone()).or_default().entry(key(name)).or_default();
            known.number = Some(number);
            known.message = match kind.trim_start_matches('.') {
                local if !local.contains('.') => format!("{prefix}.{local}"),
                full => definition(full),
            };
            known.default = default.take();
        }
    }
    prefix
}

/// What JSON's `x-kubernetes-map-type`, protobuf's `xKubernetesMapType` and Go's `Name` agree in.
fn key(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// A protobuf name as OpenAPI writes it.
fn definition(name: &str) -> String {
    name.replacen("k8s.io.", "io.k8s.", 1).replace('_', "-")
}

/// Whether a definition is known to be a message without fields, rather than raw JSON.
pub(crate) fn empty(facts: &Facts, definition: &str) -> bool {
    facts.get(definition).is_some_and(BTreeMap::is_empty)
}

/// The field of a definition and its numbers on the wire, joined with dots: several where Go
/// embeds a struct, which JSON flattens and protobuf does not.
pub(crate) fn find<'a>(
    facts: &'a Facts,
    definition: &str,
    name: &str,
    json: &[&str],
) -> Option<(String, &'a Field)> {
    let fields = facts.get(definition)?;
    if let Some(field) = fields.get(&key(name)) {
        return Some((field.number?.to_string(), field));
    }
    // What the message has and JSON has not is an embedded struct.
    fields.iter().filter(|(known, _)| !json.iter().any(|name| key(name) == **known)).find_map(
        |(_, embedded)| {
            let (path, field) = find(facts, &embedded.message, name, json)?;
            Some((format!("{}.{path}", embedded.number?), field))
        },
    )
}

/// `optional string name = 1;` → type, name and number.
fn field(line: &str) -> Option<(&str, &str, u32)> {
    if line.starts_with("//") {
        return None;
    }
    let (left, number) = line.strip_suffix(';')?.rsplit_once(" = ")?;
    let (left, name) = left.rsplit_once(' ')?;
    Some((left.rsplit_once(' ').map_or(left, |(_, kind)| kind), name, number.parse().ok()?))
}

/// Adds what Go says of fields: whether zero is written, and the values of `+enum` types.
pub(crate) fn go(text: &str, prefix: &str, facts: &mut Facts) {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["//", "+enum"] | ["//+enum"] => marked = true,
            ["type", name, "string", ..] if marked => {
                kinds.insert(name, BTreeSet::new());
                marked = false;
            }
            ["type", ..] => marked = false,
            _ => {}
        }
    }
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.trim_start_matches("const ").split_whitespace().collect();
        if let [_, kind, "=", value, ..] = words.as_slice()
            && let Some(values) = kinds.get_mut(kind)
            && let Some(value) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'))
        {
            values.insert(value);
        }
    }
    let mut message = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["type", name, "struct", "{"] => message = format!("{prefix}.{name}"),
            [_, kind, tag, ..] => {
                let values = kinds.get(kind.trim_start_matches('*').trim_start_matches("[]"));
                let name = tag.strip_prefix("`json:\"").and_then(|tag| tag.split([',', '"']).next());
                let fields = facts.get_mut(&message);
                let field = name.zip(fields).and_then(|(name, fields)| fields.get_mut(&key(name)));
                let Some(field) = field else { continue };
                let omits = tag.contains(",omitempty") || tag.contains(",omitzero");
                field.keeps_zero = kind.starts_with('*') || !omits;
                if let Some(values) = values {
                    field.values = values.iter().map(|value| (*value).to_owned()).collect();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_defaults_and_enums() {
        let mut facts = Facts::new();
        let text =
            "package k8s.io.api.core.v1;\nmessage A {\n  // +default=\"TCP\"\n  optional string p = 4;\n}\n";
        let prefix = proto(text, &mut facts);
        let go = "// +enum\ntype P string\nconst (\n\tX P = \"UDP\"\n\tY P = \"TCP\"\n)\ntype A struct {\n\tQ P `json:\"p,omitempty\"`\n}\n";
        super::go(go, &prefix, &mut facts);
        let field = &facts["io.k8s.api.core.v1.A"]["p"];
        assert_eq!(field.number, Some(4));
        assert_eq!(field.default.as_deref(), Some("\"TCP\""));
        assert_eq!(field.values, ["TCP", "UDP"]);
        assert!(!field.keeps_zero);
    }
}
