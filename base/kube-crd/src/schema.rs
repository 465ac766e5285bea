//! A custom resource's schema, compiled: what values of it may hold and what may be
//! said about them. Descriptions are left out; publication reads them from the
//! definition itself.

mod parse;
mod pattern;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub use parse::SchemaTooDeep;
pub use pattern::{InvalidPattern, Pattern};
pub(crate) use shape::OBJECT_META;

/// A node of a schema. Below `checks` stand nodes that only restrict values; all
/// others give them their structure.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty if any.
    pub kind: String,
    /// Whether null is a value.
    pub nullable: bool,
    /// What stands where nothing is said.
    pub default: Option<Value>,
    /// Whether unknown fields stay.
    pub preserve: bool,
    /// Whether the value is an object of the API, with apiVersion, kind and metadata.
    pub embedded: bool,
    /// Whether this is the root of a resource, whose metadata is the server's.
    pub root: bool,
    /// Whether a number and a string are both fine.
    pub int_or_string: bool,
    /// `atomic`, `set` or `map`.
    pub list_type: Option<String>,
    /// The fields that identify an item of a map list.
    pub list_keys: Vec<String>,
    /// `atomic` or `granular`.
    pub map_type: Option<String>,
    /// The type of a list's items.
    pub items: Option<Box<Structural>>,
    /// The declared fields.
    pub properties: BTreeMap<String, Structural>,
    /// What other fields may hold.
    pub additional: Option<Additional>,
    /// Restrictions.
    pub checks: Checks,
    /// `x-kubernetes-validations`.
    pub rules: Vec<Rule>,
    /// Words of JSON Schema that no schema of a custom resource may use.
    pub(crate) unsupported: Vec<&'static str>,
    /// What is not structural in a node that only restricts values.
    pub(crate) extras: Extras,
}

/// What is only checked when a definition is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) has_title: bool,
    pub(crate) has_description: bool,
    pub(crate) items_is_list: bool,
    pub(crate) preserve_is_false: bool,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub enum Additional {
    /// Anything, or nothing.
    Any(bool),
    /// Values of this type.
    Schema(Box<Structural>),
}

/// Restrictions of a value.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// The format of a string or a number.
    pub format: String,
    /// The largest number.
    pub maximum: Option<f64>,
    /// Whether `maximum` itself is too large.
    pub exclusive_maximum: bool,
    /// The smallest number.
    pub minimum: Option<f64>,
    /// Whether `minimum` itself is too small.
    pub exclusive_minimum: bool,
    /// What divides the number.
    pub multiple_of: Option<f64>,
    /// Most characters.
    pub max_length: Option<i64>,
    /// Fewest characters.
    pub min_length: Option<i64>,
    /// What the string matches.
    pub pattern: Option<Arc<Pattern>>,
    /// Most items.
    pub max_items: Option<i64>,
    /// Fewest items.
    pub min_items: Option<i64>,
    /// Whether no item may be there twice.
    pub unique_items: bool,
    /// Most fields.
    pub max_properties: Option<i64>,
    /// Fewest fields.
    pub min_properties: Option<i64>,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// The values that there are; empty if any.
    pub values: Vec<Value>,
    /// All of these hold.
    pub all_of: Vec<Structural>,
    /// At least one of these holds.
    pub any_of: Vec<Structural>,
    /// Exactly one of these holds.
    pub one_of: Vec<Structural>,
    /// This does not hold.
    pub not: Option<Box<Structural>>,
}

/// A rule of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The expression.
    pub rule: String,
    /// What is said where it does not hold.
    pub message: String,
    /// An expression whose result is said instead.
    pub message_expression: String,
    /// The machine's word: `FieldValueInvalid` and so on.
    pub reason: Option<String>,
    /// The field that is named, relative to the value.
    pub field_path: String,
    /// Whether the rule is asked when there was no value before.
    pub optional_old_self: Option<bool>,
}

impl Structural {
    /// Compiles a schema, `openAPIV3Schema` or a part of one.
    pub fn parse(schema: &Value) -> Result<Self, SchemaTooDeep> {
        parse::parse(schema)
    }

    /// As [`Structural::parse`], for the root of a resource.
    pub fn parse_root(schema: &Value) -> Result<Self, SchemaTooDeep> {
        Ok(Self { root: true, ..parse::parse(schema)? })
    }

    /// Whether apiVersion, kind and metadata are the API's here.
    pub fn is_resource(&self) -> bool {
        self.root || self.embedded
    }

    /// The type of a field, declared or not.
    pub fn child(&self, name: &str) -> Option<&Structural> {
        self.properties.get(name).or_else(|| self.values_schema())
    }

    /// The type of fields that are not declared.
    pub fn values_schema(&self) -> Option<&Structural> {
        match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    pub(crate) fn is_list_map(&self) -> bool {
        self.list_type.as_deref() == Some("map")
    }

    /// Calls `visit` on this node and all below it, also on those that only restrict.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(&Structural)) {
        visit(self);
        let checks = &self.checks;
        let junctors = checks.all_of.iter().chain(&checks.any_of).chain(&checks.one_of);
        let one = self.items.as_deref().into_iter().chain(self.values_schema()).chain(checks.not.as_deref());
        for below in one.chain(junctors).chain(self.properties.values()) {
            below.each(visit);
        }
    }
}

/// The members of every object of the API.
pub(crate) const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

pub(crate) fn is_meta_field(name: &str) -> bool {
    META_FIELDS.contains(&name)
}
