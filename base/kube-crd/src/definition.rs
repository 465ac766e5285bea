//! A custom resource definition, compiled: what the server needs to serve its kind.

mod defaults;
pub mod prepare;
mod scale;
mod selectable;
mod version;

use std::sync::Arc;

use base::{Classified, ErrorClass};
use kube_object::resource::{GroupKind, GroupResource};
use serde_json::Value;

use crate::columns::Column;
use crate::rules::{RuleCompiler, Rules};
use crate::schema::{SchemaTooDeep, Structural};

pub use defaults::default_crd;
pub use scale::ScalePaths;
pub use selectable::SelectableField;
pub use version::compare as compare_versions;

/// A definition does not say what serving needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A field is missing or has the wrong type.
    #[error("custom resource definition without {0}")]
    Missing(&'static str),
    /// A schema is nested too deep.
    #[error("schema of version {version}")]
    Schema {
        /// The version.
        version: String,
        /// What is wrong.
        #[source]
        source: SchemaTooDeep,
    },
}

impl Classified for CompileError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for each namespace.
    Namespaced,
    /// One set of names for the cluster.
    Cluster,
}

/// The names of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// As in URLs.
    pub plural: String,
    /// For one object.
    pub singular: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// The kind.
    pub kind: String,
    /// The kind of lists.
    pub list_kind: String,
    /// Groups of resources it is listed with.
    pub categories: Vec<String>,
}

/// How objects get from one version to another.
#[derive(Clone, Debug, PartialEq)]
pub enum Conversion {
    /// Only apiVersion changes.
    None,
    /// A webhook is asked.
    Webhook {
        /// `clientConfig`: where it is.
        client_config: Value,
        /// The versions of ConversionReview that it speaks, best first.
        review_versions: Vec<String>,
    },
}

/// A compiled definition.
#[derive(Clone, Debug)]
pub struct Definition {
    group: String,
    names: Names,
    scope: Scope,
    versions: Vec<Version>,
    conversion: Conversion,
}

/// A version of a custom resource.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// Whether its users are warned.
    pub deprecated: bool,
    /// What deprecated versions' users are told.
    pub deprecation_warning: Option<String>,
    /// The type of its objects.
    pub schema: Arc<Structural>,
    /// Whether there is a status subresource.
    pub status: bool,
    /// Where the scale subresource finds its numbers.
    pub scale: Option<ScalePaths>,
    /// Columns of tables, without the name.
    pub columns: Vec<Column>,
    /// Fields that selectors may name.
    pub selectable_fields: Vec<SelectableField>,
    /// Rules in CEL; without a compiler none are checked.
    pub rules: Option<Arc<Rules>>,
}

impl Definition {
    /// Compiles a definition of apiextensions.k8s.io/v1, without its rules in CEL.
    pub fn compile(crd: &Value) -> Result<Self, CompileError> {
        Self::compile_with(crd, None)
    }

    /// Compiles a definition and its rules.
    pub fn compile_with(crd: &Value, compiler: Option<&dyn RuleCompiler>) -> Result<Self, CompileError> {
        let spec = crd.get("spec").ok_or(CompileError::Missing("spec"))?;
        let group = text(spec, "group").ok_or(CompileError::Missing("spec.group"))?;
        let names = spec.get("names").ok_or(CompileError::Missing("spec.names"))?;
        let versions = spec.get("versions").and_then(Value::as_array);
        let versions = versions.ok_or(CompileError::Missing("spec.versions"))?;
        let kind = text(names, "kind").ok_or(CompileError::Missing("spec.names.kind"))?;
        let whole_open = spec.get("preserveUnknownFields").and_then(Value::as_bool).unwrap_or_default();
        let one = |version: &Value| version::compile(version, versions, &group, &kind, whole_open, compiler);
        Ok(Self {
            names: Names {
                plural: text(names, "plural").ok_or(CompileError::Missing("spec.names.plural"))?,
                singular: text(names, "singular").unwrap_or_else(|| kind.to_lowercase()),
                short_names: texts(names, "shortNames"),
                list_kind: text(names, "listKind").unwrap_or_else(|| format!("{kind}List")),
                categories: texts(names, "categories"),
                kind: kind.clone(),
            },
            scope: match spec.get("scope").and_then(Value::as_str) {
                Some("Cluster") => Scope::Cluster,
                _ => Scope::Namespaced,
            },
            versions: versions.iter().map(one).collect::<Result<_, _>>()?,
            conversion: conversion(spec),
            group,
        })
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The names that the definition asks for.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Where objects live.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The versions, in the order of the definition.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version of this name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The served versions, best first, as discovery lists them.
    pub fn served_versions(&self) -> Vec<&Version> {
        let mut served: Vec<&Version> = self.versions.iter().filter(|version| version.served).collect();
        served.sort_by(|one, other| compare_versions(&one.name, &other.name));
        served
    }

    /// The version in which objects are stored.
    pub fn storage_version(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.storage)
    }

    /// How objects get from one version to another.
    pub fn conversion(&self) -> &Conversion {
        &self.conversion
    }

    /// Group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.names.kind)
    }

    /// Group and plural.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.names.plural)
    }
}

impl Version {
    /// The columns of tables, Age where the definition names none.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The warning that users of a deprecated version get.
    pub fn warning(&self) -> Option<&str> {
        self.deprecation_warning.as_deref().filter(|_| self.deprecated)
    }
}

fn conversion(spec: &Value) -> Conversion {
    let conversion = spec.get("conversion");
    let webhook = conversion.and_then(|conversion| conversion.get("webhook"));
    match (conversion.and_then(|one| text(one, "strategy")).as_deref(), webhook) {
        (Some("Webhook"), Some(webhook)) => Conversion::Webhook {
            client_config: webhook.get("clientConfig").cloned().unwrap_or_default(),
            review_versions: texts(webhook, "conversionReviewVersions"),
        },
        _ => Conversion::None,
    }
}

pub(crate) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(crate) fn texts(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
