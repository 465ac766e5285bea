//! Changes of the mirror as inputs of the rules.

use std::collections::HashSet;
use std::sync::Arc;

use client::{Change, Item, Mirror};
use kube_object::resource::GroupResource;
use proxy_rules::{Input, Ruleset, Service, ServiceName, Slice};

/// What was noticed of which resource.
#[derive(Clone, Debug)]
pub(crate) enum Noticed {
    /// Of services.
    Service(Change),
    /// Of endpoint slices.
    Slice(Change),
    /// Of nodes.
    Node(Change),
}

/// Services.
pub(crate) fn services() -> GroupResource {
    GroupResource::new("", "services")
}

/// Endpoint slices.
pub(crate) fn slices() -> GroupResource {
    GroupResource::new("discovery.k8s.io", "endpointslices")
}

/// Nodes.
pub(crate) fn nodes() -> GroupResource {
    GroupResource::new("", "nodes")
}

/// The inputs that a change of services means.
pub(crate) fn of_services(change: &Change, mirror: &dyn Mirror, rules: &Ruleset) -> Vec<Input> {
    match change {
        Change::Set { new, .. } => vec![service(new)],
        Change::Gone { old } => vec![Input::Service(name(old), None)],
        Change::Resync => {
            let items = mirror.items(&services(), None);
            let there: HashSet<ServiceName> = items.iter().map(|item| name(item)).collect();
            let gone = rules.service_names().filter(|name| !there.contains(name));
            let gone = gone.map(|name| Input::Service(name.clone(), None));
            gone.chain(items.iter().map(|item| service(item))).collect()
        }
    }
}

/// The inputs that a change of slices means.
pub(crate) fn of_slices(change: &Change, mirror: &dyn Mirror, rules: &Ruleset) -> Vec<Input> {
    match change {
        Change::Set { new, .. } => vec![slice(new)],
        Change::Gone { old } => vec![Input::Slice(old.namespace().into(), old.name().into(), None)],
        Change::Resync => {
            let items = mirror.items(&slices(), None);
            let there: HashSet<(&str, &str)> =
                items.iter().map(|item| (item.namespace(), item.name())).collect();
            let gone = rules.slice_names().filter(|(namespace, name)| !there.contains(&(namespace, name)));
            let gone =
                gone.map(|(namespace, name)| Input::Slice(Arc::clone(namespace), Arc::clone(name), None));
            gone.chain(items.iter().map(|item| slice(item))).collect()
        }
    }
}

fn name(item: &Item) -> ServiceName {
    ServiceName::new(item.namespace(), item.name())
}

fn service(item: &Item) -> Input {
    Input::Service(name(item), Service::parse(&item.value()))
}

fn slice(item: &Item) -> Input {
    Input::Slice(item.namespace().into(), item.name().into(), Slice::parse(&item.value()))
}
