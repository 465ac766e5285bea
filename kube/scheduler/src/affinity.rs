//! Which pods a pod goes with, and which it keeps away from.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube_object::label_selector::{LabelSelector, Operator, Requirement};
use serde_json::Value;

use crate::read::{Labels, items, member, number, text, texts};

/// Demands and wishes about other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// What must be so.
    pub required: Vec<Term>,
    /// What would be good, and what it is worth.
    pub preferred: Vec<(i64, Term)>,
}

/// Pods, and the part of the cluster within which they count as together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The label of nodes whose values are the parts.
    pub topology_key: Arc<str>,
    /// The pods.
    pub group: Group,
}

/// A set of pods by namespace and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    namespaces: BTreeSet<String>,
    /// Namespaces by their labels, beside those by name.
    namespace_selector: Option<LabelSelector>,
    selector: LabelSelector,
}

impl Affinity {
    /// Reads `podAffinity` or `podAntiAffinity` of a pod in a namespace.
    pub fn read(value: &Value, namespace: &str, labels: &Labels) -> Self {
        let required = items(value, "requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = items(value, "preferredDuringSchedulingIgnoredDuringExecution");
        let term = |term: &Value| Term::read(term, namespace, labels);
        Self {
            required: required.iter().map(term).collect(),
            preferred: preferred
                .iter()
                .map(|wish| (number(wish, "weight", 1), term(member(wish, "podAffinityTerm"))))
                .collect(),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.preferred.is_empty()
    }
}

impl Term {
    fn read(term: &Value, namespace: &str, labels: &Labels) -> Self {
        let mut namespaces: BTreeSet<String> = texts(term, "namespaces").into_iter().collect();
        let by_labels = term.get("namespaceSelector").filter(|selector| !selector.is_null());
        if namespaces.is_empty() && by_labels.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        let selector = selector_of(member(term, "labelSelector"));
        let selector = narrowed(selector, &texts(term, "matchLabelKeys"), Operator::In, labels);
        let selector = narrowed(selector, &texts(term, "mismatchLabelKeys"), Operator::NotIn, labels);
        Self {
            topology_key: text(term, "topologyKey").into(),
            group: Group { namespaces, namespace_selector: by_labels.map(selector_of), selector },
        }
    }
}

/// A selector of the API; what is none selects nothing.
pub(crate) fn selector_of(value: &Value) -> LabelSelector {
    LabelSelector::from_value(value).unwrap_or_else(|_| LabelSelector::nothing())
}

/// The selector, but only pods whose labels of these keys are the pod's, or are not.
pub(crate) fn narrowed(
    selector: LabelSelector,
    keys: &[String],
    operator: Operator,
    labels: &Labels,
) -> LabelSelector {
    let more = keys.iter().filter_map(|key| {
        let value = labels.get(key)?;
        Requirement::new(key, operator, vec![value.clone()]).ok()
    });
    let more: Vec<Requirement> = more.filter(|it| !selector.requirements().contains(it)).collect();
    selector.and(more)
}

impl Group {
    /// Pods of one namespace.
    pub fn of(namespace: &str, selector: LabelSelector) -> Self {
        Self { namespaces: BTreeSet::from([namespace.to_owned()]), namespace_selector: None, selector }
    }

    /// Whether a pod belongs to it; `namespace_labels` are those of the pod's namespace.
    pub fn has(&self, namespace: &str, labels: &Labels, namespace_labels: Option<&Labels>) -> bool {
        if !self.selector.matches(labels) {
            return false;
        }
        self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                selector.is_everything() || namespace_labels.is_some_and(|labels| selector.matches(labels))
            })
    }

    /// Whether labels of namespaces decide.
    pub fn asks_namespaces(&self) -> bool {
        self.namespace_selector.as_ref().is_some_and(|selector| !selector.is_everything())
    }

    /// A label that every pod of it has: a short way to those that may belong to it.
    pub fn sign(&self) -> Option<(&str, &str)> {
        let keys = self.selector.requirements().iter().map(Requirement::key);
        keys.filter_map(|key| Some((key, self.selector.exact_value(key)?))).next()
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let selector = self.selector.to_string();
        f.write_str(if selector.is_empty() { "all pods" } else { &selector })?;
        let names = self.namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match &self.namespace_selector {
            Some(selector) if selector.is_everything() => f.write_str(" in any namespace"),
            Some(selector) => write!(f, " in namespaces {selector}"),
            None => write!(f, " in {names}"),
        }
    }
}
