//! Values while an expression is evaluated. What comes from JSON is looked at where it
//! lies; nothing is copied before it is changed.

pub(crate) mod compare;
mod json;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map as Object, Value};

use crate::authorizer::{Check, Decision};
use crate::env::{Decl, ListKind};
use crate::library::Opaque;

pub(crate) use compare::{compare, equal};
pub(crate) use json::from_json;

/// A value.
#[derive(Clone, Debug)]
pub enum Val<'a> {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `uint`.
    Uint(u64),
    /// `double`.
    Double(f64),
    /// `string`.
    Text(Text<'a>),
    /// `bytes`.
    Bytes(Arc<[u8]>),
    /// `list`.
    List(List<'a>),
    /// `map`, or an object.
    Map(Map<'a>),
    /// A point in time.
    Timestamp(Timestamp),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A type, by its name.
    Type(Arc<str>),
    /// A value, or none.
    Optional(Option<Arc<Val<'a>>>),
    /// A value of a library: quantity, URL and so on.
    Opaque(Arc<Opaque>),
    /// A question to the authorizer.
    Check(Arc<Check>),
    /// The authorizer's answer.
    Decision(Arc<Decision>),
}

/// A string.
#[derive(Clone)]
pub enum Text<'a> {
    /// One that lies in the input.
    Borrowed(&'a str),
    /// One that was made.
    Shared(Arc<str>),
}

impl Text<'_> {
    /// Its characters.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// One that lies in the input.
    Json {
        /// The items.
        items: &'a [Value],
        /// Their type.
        item: Option<&'a Decl>,
        /// How it compares.
        kind: &'a ListKind,
    },
    /// One that was made.
    Items(Arc<Vec<Val<'a>>>, &'a ListKind),
}

/// A map, or an object.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// One that lies in the input.
    Json {
        /// The entries.
        object: &'a Object<String, Value>,
        /// The type of the values.
        value: Option<&'a Decl>,
    },
    /// An object with declared fields that lies in the input.
    Object {
        /// The entries.
        object: &'a Object<String, Value>,
        /// The fields.
        decl: &'a Decl,
    },
    /// One that was made.
    Entries(Arc<Entries<'a>>),
    /// An object of a named type that was made.
    Struct {
        /// The type.
        name: Arc<str>,
        /// The fields.
        fields: Arc<Vec<(Arc<str>, Val<'a>)>>,
    },
}

/// The entries of a map, by what their keys are equal by.
pub type Entries<'a> = BTreeMap<Key, (Val<'a>, Val<'a>)>;

/// A key of a map: numbers of different types are the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(i128),
    /// A string.
    Text(Arc<str>),
}

pub(crate) static ATOMIC: ListKind = ListKind::Atomic;

impl<'a> Val<'a> {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    pub(crate) fn string(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    pub(crate) fn list(items: Vec<Val<'a>>) -> Self {
        Self::List(List::Items(Arc::new(items), &ATOMIC))
    }

    pub(crate) fn some(value: Val<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The key that it is; none if it can be none.
    pub(crate) fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Number(i128::from(*value)),
            Self::Uint(value) => Key::Number(i128::from(*value)),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 1e19 => Key::Number(*value as i128),
            Self::Text(text) => Key::Text(text.as_str().into()),
            _ => return None,
        })
    }

    /// The name of its type.
    pub fn type_name(&self) -> Arc<str> {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(Map::Struct { name, .. }) => return Arc::clone(name),
            Self::Map(Map::Object { decl, .. }) => return decl.ty.to_string().into(),
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Opaque(value) => value.type_name(),
            Self::Check(check) => check.type_name(),
            Self::Decision(_) => crate::env::DECISION,
        }
        .into()
    }

    /// As the function `size` counts; 1 for what has no size.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.as_str().chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(value)) => value.size(),
            Self::Opaque(value) => value.size(),
            _ => 1,
        }
    }

    /// Whether it is what its type begins with: zero, empty and so on.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Optional(None) => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::Text(text) => text.as_str().is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(list) => list.len() == 0,
            Self::Map(map) => map.len() == 0,
            Self::Duration(value) => *value == 0,
            Self::Optional(Some(value)) => value.is_zero(),
            _ => false,
        }
    }
}

impl<'a> List<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json { items, .. } => items.len(),
            Self::Items(items, _) => items.len(),
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<Val<'a>> {
        match self {
            Self::Json { items, item, .. } => items.get(at).map(|value| from_json(value, *item)),
            Self::Items(items, _) => items.get(at).cloned(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    pub(crate) fn kind(&self) -> &'a ListKind {
        match self {
            Self::Json { kind, .. } | Self::Items(_, kind) => kind,
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Val<'a>> {
        match self {
            Self::Items(items, _) => Arc::unwrap_or_clone(items),
            other => other.iter().collect(),
        }
    }
}

impl<'a> Map<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json { object, .. } => object.len(),
            Self::Object { object, decl } => {
                object.keys().filter(|key| self.seen_field(key, decl).is_some()).count()
            }
            Self::Entries(entries) => entries.len(),
            Self::Struct { fields, .. } => fields.len(),
        }
    }

    fn seen_field(&self, json: &str, decl: &'a Decl) -> Option<(&'a str, &'a Decl)> {
        let name = crate::names::escape(json)?;
        match &decl.form {
            crate::env::Form::Object(fields) => {
                let (name, (_, decl)) = fields.get_key_value(name.as_str())?;
                Some((name, decl))
            }
            _ => None,
        }
    }

    /// The value of a field or of a string key.
    pub(crate) fn field(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Self::Json { object, value } => object.get(name).map(|found| from_json(found, *value)),
            Self::Object { object, decl } => {
                let (json, decl) = decl.field(name)?;
                object.get(&**json).map(|found| from_json(found, Some(decl)))
            }
            Self::Entries(entries) => entries.get(&Key::Text(name.into())).map(|(_, value)| value.clone()),
            Self::Struct { fields, .. } => {
                fields.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
            }
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &Val<'_>) -> Option<Val<'a>> {
        match (self, key) {
            (_, Val::Text(text)) => self.field(text.as_str()),
            (Self::Entries(entries), key) => entries.get(&key.key()?).map(|(_, value)| value.clone()),
            _ => None,
        }
    }

    /// The keys and values.
    pub(crate) fn entries(&self) -> Vec<(Val<'a>, Val<'a>)> {
        match self {
            Self::Json { object, value } => object
                .iter()
                .map(|(key, found)| (Val::Text(Text::Borrowed(key)), from_json(found, *value)))
                .collect(),
            Self::Object { object, decl } => object
                .iter()
                .filter_map(|(key, found)| {
                    let (name, decl) = self.seen_field(key, decl)?;
                    Some((Val::Text(Text::Borrowed(name)), from_json(found, Some(decl))))
                })
                .collect(),
            Self::Entries(entries) => entries.values().cloned().collect(),
            Self::Struct { fields, .. } => {
                fields.iter().map(|(name, value)| (Val::text(name), value.clone())).collect()
            }
        }
    }
}
