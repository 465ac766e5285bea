//! Which objects a list or a watch is about.

use std::borrow::Cow;
use std::sync::Arc;

use client::Item;
use kube_api::IndexedField;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::LabelSelector;
use serde_json::Value;

use super::wakers::Scope;

/// Namespace and selectors of a list or watch.
#[derive(Clone)]
pub(crate) struct Selector {
    pub namespace: Box<str>,
    /// The name in the URL; empty for all.
    pub name: Box<str>,
    /// Whether objects live in no namespace.
    pub clustered: bool,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// The field by which the collection finds objects.
    pub indexed: Option<IndexedField>,
    /// Reads all selectable fields but the metadata's.
    pub read: ReadFields,
}

/// Tells an object's selectable fields.
pub(crate) type ReadFields = Arc<dyn Fn(&Value) -> Vec<(String, String)> + Send + Sync>;

impl Selector {
    pub(crate) fn fits(&self, item: &Item) -> bool {
        if !self.namespace.is_empty() && item.namespace() != &*self.namespace {
            return false;
        }
        if !self.name.is_empty() && item.name() != &*self.name {
            return false;
        }
        if !self.fields.is_everything() && !self.fields.matches(|name| self.field(item, name)) {
            return false;
        }
        self.labels.is_everything() || self.labels.matches(&item.labels())
    }

    fn field<'a>(&self, item: &'a Item, name: &str) -> Option<Cow<'a, str>> {
        match name {
            "metadata.name" => Some(Cow::Borrowed(item.name())),
            "metadata.namespace" => Some(Cow::Borrowed(item.namespace())),
            name if self.indexed.is_some_and(|field| field.name == name) => {
                self.indexed.map(|field| Cow::Borrowed(item.indexed(field.path)))
            }
            name => item.field(name, |value| (self.read)(value)),
        }
    }

    /// Whether every object of the namespace fits.
    pub(crate) fn is_everything(&self) -> bool {
        self.fields.is_everything() && self.labels.is_everything() && self.name.is_empty()
    }

    /// The value that the indexed field must have, if it must have one.
    pub(crate) fn indexed_value(&self) -> Option<&str> {
        self.fields.exact_value(self.indexed?.name)
    }

    /// The objects that can fit.
    pub(crate) fn part(&self) -> Part<'_> {
        Part { namespace: &self.namespace, indexed: self.indexed_value() }
    }

    /// What changes can concern it.
    pub(crate) fn scope(&self) -> Scope {
        let named = self.fields.exact_value("metadata.name").filter(|name| !name.is_empty());
        let name = if self.name.is_empty() { named } else { Some(&*self.name) };
        match (&*self.namespace, name, self.indexed_value()) {
            ("", Some(name), _) if self.clustered => Scope::Object(name.into()),
            // Objects in any of the namespaces may have the name.
            ("", Some(name), _) => Scope::Name(name.into()),
            (namespace, Some(name), _) => Scope::Object(format!("{namespace}/{name}").into()),
            (_, None, Some(value)) => Scope::Indexed(value.into()),
            ("", None, None) => Scope::All,
            (namespace, None, None) => Scope::Namespace(namespace.into()),
        }
    }
}

/// A part of a collection that is found without a look at the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Part<'a> {
    /// Empty for all.
    pub namespace: &'a str,
    /// The value of the indexed field.
    pub indexed: Option<&'a str>,
}
