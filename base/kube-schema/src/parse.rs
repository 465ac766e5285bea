//! The table's text → kinds and objects.

use crate::types::{
    Field, Gvk, Kind, ListType, MapType, Object, PatchStrategy, Scope, Subresource, Type, TypeId,
};

/// A table that cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("decode the schema table: line {line}: {text:?}; write it anew with `cargo xtask codegen`")]
pub struct TableError {
    /// The line, counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

/// The release, the kinds and the objects of a table.
pub(crate) fn table(text: &'static str) -> Result<(&'static str, Vec<Kind>, Vec<Object>), TableError> {
    let mut lines = text.lines().enumerate();
    let failed = |line: usize, text: &str| TableError { line: line + 1, text: text.to_owned() };
    let first = lines.next().map_or("", |(_, line)| line);
    let release = first.strip_prefix("strake-kube-schema 1 ").ok_or_else(|| failed(0, first))?;
    let (mut kinds, mut objects) = (Vec::new(), Vec::new());
    let (mut subresources, mut fields) = (Vec::new(), Vec::new());
    // Parts follow their whole, so that reading backwards finds them complete.
    for (at, line) in text.lines().enumerate().skip(1).collect::<Vec<_>>().into_iter().rev() {
        let read = match line.split_once(' ') {
            Some(("K", rest)) => kind(rest, &mut subresources).map(|kind| kinds.push(kind)),
            Some(("S", rest)) => subresource(rest).map(|subresource| subresources.push(subresource)),
            Some(("T", rest)) => object(rest, &mut fields).map(|object| objects.push(object)),
            Some(("F", rest)) => field(rest).map(|field| fields.push(field)),
            _ => None,
        };
        read.ok_or_else(|| failed(at, line))?;
    }
    kinds.reverse();
    objects.reverse();
    let dangling = |kind: &Type| kind.inner().is_some_and(|id| id.0 >= objects.len());
    let object = objects.iter().find(|object| object.fields.iter().any(|field| dangling(&field.kind)));
    if let Some(object) = object {
        return Err(failed(0, object.name));
    }
    if let Some(kind) = kinds.iter().find(|kind| kind.object.0 >= objects.len()) {
        return Err(failed(0, kind.plural));
    }
    Ok((release, kinds, objects))
}

fn list(text: &'static str) -> Box<[&'static str]> {
    if text == "-" { Box::default() } else { text.split(',').collect() }
}

fn group(text: &'static str) -> &'static str {
    if text == "-" { "" } else { text }
}

fn kind(rest: &'static str, subresources: &mut Vec<Subresource>) -> Option<Kind> {
    let mut words = rest.split(' ');
    let mut word = || words.next();
    let gvk = Gvk { group: group(word()?), version: word()?, kind: word()? };
    let (plural, singular) = (word()?, word()?);
    let scope = match word()? {
        "N" => Scope::Namespaced,
        "C" => Scope::Cluster,
        _ => return None,
    };
    let (short_names, categories, verbs) = (list(word()?), list(word()?), list(word()?));
    let object = TypeId(word()?.parse().ok()?);
    subresources.reverse();
    let subresources = std::mem::take(subresources).into();
    Some(Kind { gvk, plural, singular, scope, short_names, categories, verbs, subresources, object })
}

fn subresource(rest: &'static str) -> Option<Subresource> {
    let mut words = rest.split(' ');
    let mut word = || words.next();
    let name = word()?;
    let gvk = Gvk { group: group(word()?), version: word()?, kind: word()? };
    Some(Subresource { name, gvk, verbs: list(word()?) })
}

fn object(rest: &'static str, fields: &mut Vec<Field>) -> Option<Object> {
    let (name, map) = rest.split_once(' ')?;
    let map_type = if map == "-" { MapType::Granular } else { map_type(map)? };
    let mut fields = std::mem::take(fields);
    fields.sort_unstable_by_key(|field| field.name);
    Some(Object { name, map_type, fields: fields.into() })
}

fn map_type(text: &str) -> Option<MapType> {
    match text {
        "granular" => Some(MapType::Granular),
        "atomic" => Some(MapType::Atomic),
        _ => None,
    }
}

fn field(rest: &'static str) -> Option<Field> {
    // The default comes last, since JSON may hold blanks.
    let (rest, default) = rest.split_once(" d=").map_or((rest, None), |(rest, json)| (rest, Some(json)));
    let mut words = rest.split(' ');
    let (name, expression) = (words.next()?, words.next()?);
    let mut field = Field {
        name,
        kind: kind_of(expression)?,
        required: false,
        keeps_zero: false,
        map_type: None,
        patch: PatchStrategy::default(),
        merge_key: None,
        numbers: Box::default(),
        default,
    };
    for word in words {
        mark(&mut field, word)?;
    }
    Some(field)
}

fn mark(field: &mut Field, word: &'static str) -> Option<()> {
    if word == "r" {
        field.required = true;
        return Some(());
    }
    if word == "z" {
        field.keeps_zero = true;
        return Some(());
    }
    let (mark, value) = word.split_once('=')?;
    match (mark, &mut field.kind) {
        ("l", Type::List { list_type, .. }) => {
            *list_type = match value {
                "atomic" => ListType::Atomic,
                "set" => ListType::Set,
                "map" => ListType::Map,
                _ => return None,
            };
        }
        ("k", Type::List { keys, .. }) => *keys = list(value),
        ("e", kind) => *strings(kind)? = value.split('|').collect(),
        ("m", _) => field.map_type = Some(map_type(value)?),
        ("p", _) => {
            field.patch.merge = value.split(',').any(|part| part == "merge");
            field.patch.retain_keys = value.split(',').any(|part| part == "retainKeys");
            field.patch.replace = value.split(',').any(|part| part == "replace");
        }
        ("g", _) => field.merge_key = Some(value),
        ("n", _) => {
            let numbers: Result<Box<[u32]>, _> = value.split('.').map(str::parse).collect();
            field.numbers = numbers.ok()?;
        }
        _ => return None,
    }
    Some(())
}

/// The allowed values of a string, or of a list's or map's strings.
fn strings(kind: &mut Type) -> Option<&mut Box<[&'static str]>> {
    match kind {
        Type::String { values, .. } => Some(values),
        Type::List { item, .. } | Type::Map(item) => strings(item),
        _ => None,
    }
}

fn kind_of(text: &'static str) -> Option<Type> {
    if let Some(item) = text.strip_prefix("[]") {
        let item = Box::new(kind_of(item)?);
        return Some(Type::List { item, list_type: ListType::Atomic, keys: Box::default() });
    }
    if let Some(item) = text.strip_prefix("{}") {
        return Some(Type::Map(Box::new(kind_of(item)?)));
    }
    if let Some(id) = text.strip_prefix('@') {
        return Some(Type::Object(TypeId(id.parse().ok()?)));
    }
    if let Some(format) = text.strip_prefix("string:") {
        return Some(Type::String { format: Some(format), values: Box::default() });
    }
    Some(match text {
        "string" => Type::String { format: None, values: Box::default() },
        "int32" => Type::Int(32),
        "int64" => Type::Int(64),
        "double" => Type::Double,
        "bool" => Type::Bool,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "any" => Type::Any,
        _ => return None,
    })
}
