//! What the server serves: a live table of resources, built-in and custom.
//!
//! Discovery, OpenAPI, routing and the registry ask the same table. It is replaced whole when a
//! CustomResourceDefinition changes, so that a reader sees one state.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use kube_object::resource::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
use kube_schema::{Gvk, Kind, Schema, Scope};
use tokio::sync::watch;

use crate::custom::CustomKind;

/// One resource in one version, with all that is the same for its objects.
#[derive(Debug)]
pub struct Resource {
    /// Group, version and plural.
    pub gvr: GroupVersionResource,
    /// Group, version and kind of its objects.
    pub gvk: GroupVersionKind,
    /// The kind of its lists, such as `PodList`.
    pub list_kind: String,
    /// The kind in lower case.
    pub singular: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    pub categories: Vec<String>,
    /// What can be done, sorted.
    pub verbs: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Its parts with URLs of their own.
    pub subresources: Vec<SubresourceFacts>,
    /// The version and kind that the store keeps.
    pub storage: GroupVersionKind,
    /// Under which resource the store keeps it: `events` of core for both groups of events.
    pub stored_as: GroupResource,
    /// What describes its objects.
    pub model: Model,
}

/// A part of a resource with a URL of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceFacts {
    /// The last part of its URL.
    pub name: String,
    /// The kind that it speaks.
    pub gvk: GroupVersionKind,
    /// What can be done, sorted.
    pub verbs: Vec<String>,
}

/// What describes the objects of a resource.
#[derive(Clone, Debug)]
pub enum Model {
    /// The API's table.
    BuiltIn(&'static Kind),
    /// A CustomResourceDefinition.
    Custom(Arc<CustomKind>),
}

impl Resource {
    /// The resource without its version.
    pub fn group_resource(&self) -> GroupResource {
        self.gvr.group_resource()
    }

    /// The kind without its version.
    pub fn group_kind(&self) -> GroupKind {
        self.gvk.group_kind()
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceFacts> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether a verb is among its own.
    pub fn does(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// Whether its objects are kept, rather than answered and forgotten as reviews are.
    pub fn is_stored(&self) -> bool {
        self.does("get")
    }

    /// Whether the CustomResourceDefinition makes it.
    pub fn is_custom(&self) -> bool {
        matches!(self.model, Model::Custom(_))
    }
}

/// One state of the table. Cheap to share.
#[derive(Debug, Default)]
pub struct Table {
    resources: Vec<Arc<Resource>>,
    by_gvr: HashMap<GroupVersionResource, usize>,
    by_gvk: HashMap<GroupVersionKind, usize>,
}

impl Table {
    /// Makes the table of these resources; the first of two equal ones wins.
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut table = Self::default();
        for resource in resources {
            if table.by_gvr.contains_key(&resource.gvr) {
                continue;
            }
            let at = table.resources.len();
            table.by_gvr.insert(resource.gvr.clone(), at);
            table.by_gvk.entry(resource.gvk.clone()).or_insert(at);
            table.resources.push(resource);
        }
        table
    }

    /// Everything that is served, built-in first.
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// The resource at a path of the API.
    pub fn resolve(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.by_gvr(&GroupVersionResource::new(group, version, resource))
    }

    /// The resource at a path of the API.
    pub fn by_gvr(&self, gvr: &GroupVersionResource) -> Option<&Arc<Resource>> {
        self.by_gvr.get(gvr).and_then(|at| self.resources.get(*at))
    }

    /// The resource of a kind.
    pub fn by_gvk(&self, gvk: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.by_gvk.get(gvk).and_then(|at| self.resources.get(*at))
    }

    /// The served versions of a resource, in the order of discovery.
    pub fn versions<'a>(&'a self, resource: &'a GroupResource) -> impl Iterator<Item = &'a Arc<Resource>> {
        let same = |other: &&Arc<Resource>| {
            other.gvr.group == resource.group && other.gvr.resource == resource.resource
        };
        self.resources.iter().filter(same)
    }

    /// The groups and their versions, by name; the best version comes first.
    pub fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resource in &self.resources {
            let versions = groups.entry(resource.gvr.group.clone()).or_default();
            if !versions.contains(&resource.gvr.version) {
                versions.push(resource.gvr.version.clone());
            }
        }
        for versions in groups.values_mut() {
            versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        }
        groups
    }
}

/// The live table.
#[derive(Debug)]
pub struct Kinds {
    built_in: Vec<Arc<Resource>>,
    table: RwLock<Arc<Table>>,
    changed: watch::Sender<u64>,
}

impl Kinds {
    /// The built-in kinds that a server of the release serves unasked: those of stable versions.
    pub fn new() -> Self {
        let built_in: Vec<_> = Schema::builtin()
            .kinds()
            .iter()
            .filter(|kind| is_stable(kind.gvk.version))
            .map(|kind| Arc::new(built_in(kind)))
            .collect();
        let table = RwLock::new(Arc::new(Table::new(built_in.iter().cloned())));
        Self { built_in, table, changed: watch::Sender::new(1) }
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The resource at a path of the API.
    pub fn resolve(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Resource>> {
        self.table().resolve(group, version, resource).cloned()
    }

    /// The resource of a kind.
    pub fn by_gvk(&self, gvk: &GroupVersionKind) -> Option<Arc<Resource>> {
        self.table().by_gvk(gvk).cloned()
    }

    /// Counts changes of the table: what is made from it (discovery, OpenAPI) is made anew then.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Replaces all custom resources.
    pub fn set_custom(&self, custom: impl IntoIterator<Item = Arc<Resource>>) {
        let table = Table::new(self.built_in.iter().cloned().chain(custom));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::new()
    }
}

fn built_in(kind: &'static Kind) -> Resource {
    let Gvk { group, version, kind: name } = kind.gvk;
    let gvk = GroupVersionKind::new(group, version, name);
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let subresources = kind.subresources.iter().map(|subresource| SubresourceFacts {
        name: subresource.name.to_owned(),
        gvk: gvk_of(subresource.gvk),
        verbs: owned(&subresource.verbs),
    });
    let storage = crate::rules::storage_version(&gvk);
    Resource {
        gvr: GroupVersionResource::new(group, version, kind.plural),
        list_kind: format!("{name}List"),
        singular: kind.singular.to_owned(),
        short_names: owned(&kind.short_names),
        categories: owned(&kind.categories),
        verbs: owned(&kind.verbs),
        namespaced: kind.scope == Scope::Namespaced,
        subresources: subresources.collect(),
        stored_as: GroupResource::new(&storage.group, kind.plural),
        storage,
        gvk,
        model: Model::BuiltIn(kind),
    }
}

fn gvk_of(gvk: Gvk<'_>) -> GroupVersionKind {
    GroupVersionKind::new(gvk.group, gvk.version, gvk.kind)
}

fn is_stable(version: &str) -> bool {
    priority(version).0 == STABLE
}

/// How versions are ranked: `v2` before `v1` before `v1beta2` before `v1alpha1`, then the rest by name.
pub fn priority(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest.get(..digits)?.parse().ok()?;
        let stage = rest.get(digits..)?;
        if stage.is_empty() {
            return Some((STABLE, major, 0));
        }
        let (rank, minor) = match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
            (Some(minor), _) => (BETA, minor),
            (_, Some(minor)) => (ALPHA, minor),
            _ => return None,
        };
        Some((rank, major, minor.parse().ok()?))
    });
    let (rank, major, minor) = parsed.unwrap_or((0, 0, 0));
    (rank, major, minor, std::cmp::Reverse(version.to_owned()))
}

const STABLE: u8 = 3;
const BETA: u8 = 2;
const ALPHA: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_are_served() {
        let kinds = Kinds::new();
        let table = kinds.table();
        for (group, version, resource, is_served) in [
            ("", "v1", "pods", true),
            ("apps", "v1", "deployments", true),
            ("autoscaling", "v1", "horizontalpodautoscalers", true),
            ("resource.k8s.io", "v1beta1", "resourceclaims", false),
            ("coordination.k8s.io", "v1alpha2", "leasecandidates", false),
        ] {
            assert_eq!(
                table.resolve(group, version, resource).is_some(),
                is_served,
                "{group}/{version}/{resource}"
            );
        }
        let events = table.resolve("events.k8s.io", "v1", "events").unwrap();
        assert_eq!(events.stored_as, GroupResource::new("", "events"));
        assert_eq!(table.groups()["autoscaling"], ["v2", "v1"]);
    }

    #[test]
    fn versions_are_ranked() {
        let mut versions = ["v1alpha1", "foo", "v2", "v1beta1", "v11", "v1", "v1beta2", "bar"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v11", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "bar", "foo"]);
    }
}
