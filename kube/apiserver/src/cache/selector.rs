//! Which objects a list or a watch is about.

use std::borrow::Cow;
use std::sync::Arc;

use client::Item;
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
            name => item.field(name, |value| (self.read)(value)),
        }
    }

    /// Whether every object of the namespace fits.
    pub(crate) fn is_everything(&self) -> bool {
        self.fields.is_everything() && self.labels.is_everything() && self.name.is_empty()
    }

    /// What changes can concern it.
    pub(crate) fn scope(&self) -> Scope {
        let named = self.fields.exact_value("metadata.name").filter(|name| !name.is_empty());
        let name = if self.name.is_empty() { named } else { Some(&*self.name) };
        match (&*self.namespace, name) {
            ("", Some(name)) if self.clustered => Scope::Object(name.into()),
            // Without a namespace the name may be that of objects in any of them.
            ("", _) => Scope::All,
            (namespace, Some(name)) => Scope::Object(format!("{namespace}/{name}").into()),
            (namespace, None) => Scope::Namespace(namespace.into()),
        }
    }
}
