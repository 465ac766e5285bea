//! Sets of fields, and their JSON form `FieldsV1`:
//! `{"f:spec":{"f:ports":{"k:{\"port\":80}":{".":{},"f:name":{}}}}}`.
//!
//! A set is a tree. A node is a member by itself, or only the way to members
//! below it; in the JSON form a node with nothing below is a member, and one
//! with something below is a member if it has the key `.`.

use std::collections::BTreeMap;
use std::fmt;

use base::{Classified, ErrorClass};
use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathElement {
    /// A field or a map's key.
    Field(String),
    /// An item of a list by the values of its key fields, each as JSON.
    Keys(BTreeMap<String, String>),
    /// An item of a set by its value as JSON.
    Value(String),
    /// An item by its place.
    Index(u64),
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    children: BTreeMap<PathElement, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

/// The value is not of the form `FieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFieldSet {
    /// A node is not an object.
    #[error("fieldsV1: the value of {key:?} must be an object")]
    NotAnObject {
        /// The node's key.
        key: String,
    },
    /// A key does not start with `f:`, `k:`, `v:` or `i:`, or what follows is not right.
    #[error("fieldsV1: {key:?} is no path element: use f:NAME, k:{{…}}, v:VALUE or i:INDEX")]
    Element {
        /// The key.
        key: String,
    },
}

impl Classified for InvalidFieldSet {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl PathElement {
    /// An item's identity by these of its fields.
    pub fn keys<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        Self::Keys(keys.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect())
    }

    fn parse(key: &str) -> Result<Self, InvalidFieldSet> {
        let invalid = || InvalidFieldSet::Element { key: key.to_owned() };
        let (kind, text) = key.split_once(':').ok_or_else(invalid)?;
        let json = || serde_json::from_str::<Value>(text).map_err(|_| invalid());
        match kind {
            "f" => Ok(Self::Field(text.to_owned())),
            "v" => Ok(Self::Value(json()?.to_string())),
            "i" => text.parse().map(Self::Index).map_err(|_| invalid()),
            "k" => match json()? {
                Value::Object(fields) if !fields.is_empty() => {
                    Ok(Self::keys(fields.iter().map(|(name, value)| (name.as_str(), value))))
                }
                _ => Err(invalid()),
            },
            _ => Err(invalid()),
        }
    }

    /// The key in `FieldsV1`.
    fn to_key(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(json) => format!("v:{json}"),
            Self::Index(at) => format!("i:{at}"),
            Self::Keys(keys) => {
                let fields: Vec<String> = keys
                    .iter()
                    .map(|(name, json)| format!("{}:{json}", Value::from(name.as_str())))
                    .collect();
                format!("k:{{{}}}", fields.join(","))
            }
        }
    }
}

impl fmt::Display for PathElement {
    /// As conflicts show it: `.name`, `[port=80]`, `[="value"]`, `[0]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(json) => write!(f, "[={json}]"),
            Self::Index(at) => write!(f, "[{at}]"),
            Self::Keys(keys) => {
                let fields: Vec<String> = keys.iter().map(|(name, json)| format!("{name}={json}")).collect();
                write!(f, "[{}]", fields.join(","))
            }
        }
    }
}

/// A path as conflicts show it: `.spec.ports[port=80].name`.
pub fn path_text(path: &[PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}

impl FieldSet {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `FieldsV1`.
    pub fn from_value(value: &Value) -> Result<Self, InvalidFieldSet> {
        Self::read("fieldsV1", value).map(|(set, _)| set)
    }

    /// A node's children, and whether it has the key `.`.
    fn read(key: &str, value: &Value) -> Result<(Self, bool), InvalidFieldSet> {
        let fields = value.as_object().ok_or_else(|| InvalidFieldSet::NotAnObject { key: key.to_owned() })?;
        let mut set = Self::new();
        let mut dot = false;
        for (key, value) in fields {
            if key == "." {
                dot = true;
                continue;
            }
            let (below, has_dot) = Self::read(key, value)?;
            let member = has_dot || below.is_empty();
            set.children.insert(PathElement::parse(key)?, Node { member, below });
        }
        Ok((set, dot))
    }

    /// Prints `FieldsV1`.
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        for (element, node) in &self.children {
            let mut value = node.below.to_value();
            if let (Value::Object(below), true) = (&mut value, node.member && !node.below.is_empty()) {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(element.to_key(), value);
        }
        Value::Object(fields)
    }

    /// Adds a path; the empty path is nothing.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.children.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Whether the path is a member.
    pub fn contains(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.children.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.children.get(first).is_some_and(|node| node.below.contains(rest)),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.children.values().all(|node| !node.member && node.below.is_empty())
    }

    /// What is below an element.
    pub fn below(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element).map(|node| &node.below)
    }

    /// Whether the element itself is a member.
    pub fn has(&self, element: &PathElement) -> bool {
        self.children.get(element).is_some_and(|node| node.member)
    }

    /// In one of both.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        if self.children.is_empty() {
            return other;
        }
        for (element, theirs) in other.children {
            let node = self.children.entry(element).or_default();
            node.member |= theirs.member;
            node.below = std::mem::take(&mut node.below).union(theirs.below);
        }
        self
    }

    /// In both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self::new();
        for (element, node) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                let below = node.below.intersection(&theirs.below);
                result.put(element, node.member && theirs.member, below);
            }
        }
        result
    }

    /// Here and not there.
    #[must_use]
    pub fn difference(self, other: &Self) -> Self {
        self.without(other, |node, theirs| {
            node.member &= !theirs.member;
            node.below = std::mem::take(&mut node.below).difference(&theirs.below);
        })
    }

    /// Here, and neither there nor below something there.
    #[must_use]
    pub fn recursive_difference(self, other: &Self) -> Self {
        self.without(other, |node, theirs| {
            node.below = match theirs.member {
                true => Self::new(),
                false => std::mem::take(&mut node.below).recursive_difference(&theirs.below),
            };
            node.member &= !theirs.member;
        })
    }

    fn without(mut self, other: &Self, take: impl Fn(&mut Node, &Node)) -> Self {
        for (element, theirs) in &other.children {
            if let Some(node) = self.children.get_mut(element) {
                take(node, theirs);
                if !node.member && node.below.children.is_empty() {
                    self.children.remove(element);
                }
            }
        }
        self
    }

    /// Adds an element, and what is below it, if there is anything.
    pub(super) fn put(&mut self, element: &PathElement, member: bool, below: Self) {
        if member || !below.children.is_empty() {
            self.children.insert(element.clone(), Node { member, below });
        }
    }

    /// The same, of an element that nobody else needs.
    pub(super) fn place(&mut self, element: PathElement, member: bool, below: Self) {
        if member || !below.children.is_empty() {
            self.children.insert(element, Node { member, below });
        }
    }

    /// All members in order.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let (mut paths, mut path) = (Vec::new(), Vec::new());
        self.collect(&mut path, &mut paths);
        paths
    }

    fn collect(&self, path: &mut Vec<PathElement>, paths: &mut Vec<Vec<PathElement>>) {
        for (element, node) in &self.children {
            path.push(element.clone());
            if node.member {
                paths.push(path.clone());
            }
            node.below.collect(path, paths);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_prints_fields_v1() {
        for value in [
            json!({}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {"f:b": {}}}),
            json!({"f:p": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}}),
            json!({"f:finalizers": {"v:\"x/y\"": {}, "v:1": {}}, "f:l": {"i:0": {}}}),
        ] {
            assert_eq!(FieldSet::from_value(&value).unwrap().to_value(), value);
        }
        for value in [
            json!([]),
            json!({"a": {}}),
            json!({"x:a": {}}),
            json!({"i:a": {}}),
            json!({"k:{}": {}}),
            json!({"k:1": {}}),
            json!({"v:{": {}}),
            json!({"f:a": 1}),
        ] {
            assert!(FieldSet::from_value(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn shows_paths_as_conflicts_do() {
        let set = json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:name": {}}, "v:\"a\"": {}, "i:3": {}}}});
        let paths: Vec<String> =
            FieldSet::from_value(&set).unwrap().paths().iter().map(|path| path_text(path)).collect();
        assert_eq!(
            paths,
            [".spec.ports[port=80,protocol=\"TCP\"].name", ".spec.ports[=\"a\"]", ".spec.ports[3]"]
        );
    }

    fn sets() -> impl Strategy<Value = FieldSet> {
        prop::collection::vec(prop::collection::vec("[abc]", 1..4), 0..6).prop_map(|paths| {
            let mut set = FieldSet::new();
            for path in paths {
                set.insert(&path.into_iter().map(PathElement::Field).collect::<Vec<_>>());
            }
            set
        })
    }

    proptest! {
        #[test]
        fn is_an_algebra_of_sets(a in sets(), b in sets(), probe in prop::collection::vec("[abc]", 1..4)) {
            let path: Vec<_> = probe.into_iter().map(PathElement::Field).collect();
            let (in_a, in_b) = (a.contains(&path), b.contains(&path));
            prop_assert_eq!(a.clone().union(b.clone()).contains(&path), in_a || in_b);
            prop_assert_eq!(a.intersection(&b).contains(&path), in_a && in_b);
            prop_assert_eq!(a.clone().difference(&b).contains(&path), in_a && !in_b);
            prop_assert_eq!(&a.clone().difference(&b).union(a.intersection(&b)), &a);
            prop_assert!(a.clone().difference(&a).is_empty());
            let covered = (1..=path.len()).any(|len| b.contains(&path[..len]));
            prop_assert_eq!(a.clone().recursive_difference(&b).contains(&path), in_a && !covered);
            prop_assert_eq!(FieldSet::from_value(&a.to_value()).unwrap(), a);
        }
    }
}
