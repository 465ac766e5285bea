//! Definitions: facts from the table of kinds, words from `kube-docs`.

use std::collections::{HashSet, VecDeque};

use kube_crd::publish::Flavour;
use kube_docs::Docs;
use kube_schema::{Field, Gvk, ListType, MapType, Object, Schema, Type};
use serde_json::{Map, Value, json};

/// A reference to a definition.
pub(super) fn reference(flavour: Flavour, name: &str) -> Value {
    let base = match flavour {
        Flavour::V2 => "#/definitions/",
        Flavour::V3 => "#/components/schemas/",
    };
    json!({"$ref": format!("{base}{name}")})
}

/// Definitions, one by one, each with those that it refers to behind it.
pub(super) struct Definitions {
    flavour: Flavour,
    schema: &'static Schema,
    docs: Docs,
    wanted: VecDeque<String>,
    seen: HashSet<String>,
    made: HashSet<String>,
}

impl Definitions {
    pub(super) fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            schema: Schema::builtin(),
            docs: Docs::new(),
            wanted: VecDeque::new(),
            seen: HashSet::new(),
            made: HashSet::new(),
        }
    }

    /// Asks for a definition and all below it; the reference to it.
    pub(super) fn refer(&mut self, name: &str) -> Value {
        if self.seen.insert(name.to_owned()) {
            self.wanted.push_back(name.to_owned());
        }
        reference(self.flavour, name)
    }

    /// Says that a definition is written already.
    pub(super) fn made(&mut self, name: String) {
        self.made.insert(name);
    }

    /// The next definition that somebody asked for.
    pub(super) fn next(&mut self) -> Option<(String, Value)> {
        let mut name = self.wanted.pop_front()?;
        while self.made.contains(&name) {
            name = self.wanted.pop_front()?;
        }
        let docs = self.docs.schema(&name);
        let value = match self.schema.object_named(&name) {
            Some(object) => self.object(object, docs.as_ref()),
            None => leaf(&name, docs.as_ref(), self.flavour),
        };
        Some((name, value))
    }

    fn object(&mut self, object: &'static Object, docs: Option<&Value>) -> Value {
        let mut properties = Map::new();
        for field in &object.fields {
            let words = docs.and_then(|docs| docs.get("properties")?.get(field.name));
            properties.insert(field.name.to_owned(), self.field(field, words));
        }
        let required: Vec<&str> =
            object.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut out = Map::new();
        let words = description(docs).unwrap_or_else(|| undescribed(object.name));
        out.insert("description".to_owned(), words.into());
        out.insert("type".to_owned(), json!("object"));
        if !properties.is_empty() {
            out.insert("properties".to_owned(), Value::Object(properties));
        }
        if !required.is_empty() {
            out.insert("required".to_owned(), json!(required));
        }
        if object.map_type == MapType::Atomic {
            out.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        let kinds = kinds_of(self.schema, object.name);
        if !kinds.is_empty() {
            let kinds: Vec<Value> = kinds.into_iter().map(gvk).collect();
            out.insert("x-kubernetes-group-version-kind".to_owned(), json!(kinds));
        }
        Value::Object(out)
    }

    fn field(&mut self, field: &'static Field, words: Option<&Value>) -> Value {
        let mut value = self.of_type(&field.kind, words);
        let mut extra = Map::new();
        if let Some(text) = description(words) {
            extra.insert("description".to_owned(), text.into());
        }
        // Version 2 says no defaults, as upstream.
        let default = field.default.filter(|_| self.flavour == Flavour::V3);
        if let Some(default) = default.and_then(|text| serde_json::from_str(text).ok()) {
            extra.insert("default".to_owned(), default);
        }
        if let Some(map_type) = field.map_type {
            let word = if map_type == MapType::Atomic { "atomic" } else { "granular" };
            extra.insert("x-kubernetes-map-type".to_owned(), json!(word));
        }
        let strategy = match (field.patch.merge, field.patch.retain_keys) {
            (true, true) => Some("merge,retainKeys"),
            (true, false) => Some("merge"),
            (false, true) => Some("retainKeys"),
            (false, false) => None,
        };
        if let Some(strategy) = strategy {
            extra.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategy));
        }
        if let Some(key) = field.merge_key {
            extra.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
        }
        // Beside a reference nothing may stand in version 3.
        if self.flavour == Flavour::V3 && value.get("$ref").is_some() && !extra.is_empty() {
            value = json!({"allOf": [value]});
        }
        if let Some(fields) = value.as_object_mut() {
            fields.extend(extra);
        }
        value
    }

    fn of_type(&mut self, kind: &'static Type, words: Option<&Value>) -> Value {
        match kind {
            Type::Object(id) => self.refer(self.schema.object(*id).name),
            Type::Map(item) => {
                let below = self.of_type(item, words.and_then(|words| words.get("additionalProperties")));
                json!({"type": "object", "additionalProperties": below})
            }
            Type::List { item, list_type, keys } => {
                let below = self.of_type(item, words.and_then(|words| words.get("items")));
                let mut list = json!({"type": "array", "items": below});
                if let Some(fields) = list.as_object_mut() {
                    let word = match list_type {
                        ListType::Atomic => "atomic",
                        ListType::Set => "set",
                        ListType::Map => "map",
                    };
                    fields.insert("x-kubernetes-list-type".to_owned(), json!(word));
                    if !keys.is_empty() {
                        fields.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
                    }
                }
                list
            }
            Type::String { format, values } => string(*format, values),
            Type::Int(bits) => json!({"type": "integer", "format": format!("int{bits}")}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Quantity => self.refer(QUANTITY),
            Type::IntOrString => self.refer(INT_OR_STRING),
            Type::Time => self.refer(TIME),
            Type::MicroTime => self.refer(MICRO_TIME),
            Type::Any => {
                let reference = words.and_then(|words| words.get("$ref")?.as_str());
                match reference.and_then(|reference| reference.rsplit('/').next()) {
                    Some(name) => self.refer(name),
                    None => json!({"type": "object"}),
                }
            }
        }
    }
}

/// `group`, `version` and `kind`.
pub(super) fn gvk(gvk: Gvk<'_>) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

/// The definition of a built-in kind, or of one that only subresources speak.
pub(super) fn definition_of(gvk: Gvk<'_>) -> Option<&'static str> {
    let schema = Schema::builtin();
    if let Some(kind) = schema.kind(gvk) {
        return Some(schema.object(kind.object).name);
    }
    let package = match gvk.group {
        "" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    };
    let name = format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind);
    schema.object_named(&name).map(|object| object.name)
}

fn kinds_of(schema: &'static Schema, definition: &str) -> Vec<Gvk<'static>> {
    if let Some((_, name)) = definition.rsplit_once("apimachinery.pkg.apis.meta.v1.") {
        let known = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Status"];
        let found = known.into_iter().chain(["WatchEvent"]).find(|known| *known == name);
        return found.map(|kind| Gvk { group: "", version: "v1", kind }).into_iter().collect();
    }
    let item = definition.strip_suffix("List");
    let named = |name: &str| {
        let found = schema.kinds().iter().find(|kind| schema.object(kind.object).name == name);
        found.map(|kind| kind.gvk)
    };
    if let Some(gvk) = named(definition) {
        return vec![gvk];
    }
    if let Some(gvk) = item.and_then(named) {
        // Names of lists are in the table's text, at the end of their definition.
        let list = schema.object_named(definition).and_then(|object| object.name.rsplit('.').next());
        return list.map(|kind| Gvk { kind, ..gvk }).into_iter().collect();
    }
    let spoken = schema.kinds().iter().flat_map(|kind| kind.subresources.iter().map(|part| part.gvk));
    spoken.into_iter().find(|gvk| definition_of(*gvk) == Some(definition)).into_iter().collect()
}

fn description(docs: Option<&Value>) -> Option<&str> {
    docs.and_then(|docs| docs.get("description")?.as_str())
}

fn undescribed(definition: &str) -> &'static str {
    if definition.ends_with("List") { "A list of objects of one kind." } else { "An event of a watch." }
}

fn string(format: Option<&str>, values: &[&str]) -> Value {
    let mut out = json!({"type": "string"});
    if let Some(fields) = out.as_object_mut() {
        if let Some(format) = format {
            fields.insert("format".to_owned(), json!(format));
        }
        if !values.is_empty() {
            fields.insert("enum".to_owned(), json!(values));
        }
    }
    out
}

/// Types that JSON has no fields for.
fn leaf(name: &str, docs: Option<&Value>, flavour: Flavour) -> Value {
    let mut out = match (name, flavour) {
        (QUANTITY, Flavour::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        (QUANTITY, Flavour::V2) => json!({"type": "string"}),
        (INT_OR_STRING, Flavour::V3) => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        (INT_OR_STRING, Flavour::V2) => json!({"type": "string", "format": "int-or-string"}),
        (TIME | MICRO_TIME, _) => json!({"type": "string", "format": "date-time"}),
        _ if name.contains(".apiextensions.v1.JSON") => json!({}),
        _ => json!({"type": "object"}),
    };
    if let (Some(fields), Some(text)) = (out.as_object_mut(), description(docs)) {
        fields.insert("description".to_owned(), json!(text));
    }
    out
}

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
