//! All roles and bindings, compiled: from a subject to what it is granted.
//!
//! A request looks at the bindings of its user and groups only, and in each role at the
//! rules for its resource only. The index is immutable; whoever holds one builds another
//! when a role or binding has changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kube_object::cluster::Cluster;
use kube_object::user::User;
use serde_json::Value;

use super::resource;
use super::rule::{ALL, Rule};
use crate::attributes::{Attributes, Decision, Grant, Reason, ResourceAttributes};

/// Roles and bindings, compiled.
#[derive(Debug, Default)]
pub struct Index {
    cluster: Bindings,
    namespaces: HashMap<String, Bindings>,
    revisions: [u64; 4],
    /// What it was compiled from: an object that is still the same is not compiled again.
    roles: HashMap<Key, Known<Role>>,
    bindings: HashMap<Key, Known<Vec<Subject>>>,
}

/// Namespace and name.
type Key = (String, String);

/// An object, and what it means.
#[derive(Clone, Debug)]
struct Known<T> {
    object: Arc<Value>,
    compiled: Arc<T>,
}

/// The bindings of the cluster, or of one namespace.
#[derive(Debug, Default)]
struct Bindings {
    users: HashMap<String, Vec<Entry>>,
    groups: HashMap<String, Vec<Entry>>,
}

/// Whom a binding names.
#[derive(Debug)]
struct Subject {
    is_group: bool,
    /// The user's or group's name.
    name: String,
    grant: Arc<Grant>,
}

/// A subject in a binding, with the role that it gets.
#[derive(Debug)]
struct Entry {
    grant: Arc<Grant>,
    /// None if the role does not exist.
    role: Option<Arc<Role>>,
}

/// A role's rules, found by resource.
#[derive(Debug, Default)]
struct Role {
    rules: Vec<Rule>,
    /// `pods`, `pods/log`: the rules that name it.
    named: HashMap<String, Vec<usize>>,
    /// Rules with `*` or `*/scale`.
    wild: Vec<usize>,
    /// Rules for paths.
    paths: Vec<usize>,
}

impl Index {
    /// Compiles what the cluster holds now; what `before` knows already is taken from there.
    pub fn build(cluster: &dyn Cluster, before: Option<&Self>) -> Self {
        // Before the lists are read: what changes meanwhile is then compiled again.
        let revisions = Self::revisions_of(cluster);
        let mut index = Self { revisions, ..Self::default() };
        for kind in ["clusterroles", "roles"] {
            let earlier = before.map(|before| &before.roles);
            for (key, object) in sorted(cluster.list(&resource(kind), None)) {
                let known = known(earlier, &key, object, |role| Role::compile(Rule::all_of(role)));
                index.roles.insert(key, known);
            }
        }
        for kind in ["clusterrolebindings", "rolebindings"] {
            let earlier = before.map(|before| &before.bindings);
            for (key, object) in sorted(cluster.list(&resource(kind), None)) {
                let known = known(earlier, &key, object, |binding| subjects(binding, &key.0));
                let bindings = match key.0.as_str() {
                    "" => &mut index.cluster,
                    namespace => index.namespaces.entry(namespace.to_owned()).or_default(),
                };
                known.compiled.iter().for_each(|subject| bindings.add(subject, &index.roles));
                index.bindings.insert(key, known);
            }
        }
        index
    }

    /// Whether the cluster is still the one that was compiled.
    pub fn is_current(&self, cluster: &dyn Cluster) -> bool {
        self.revisions == Self::revisions_of(cluster)
    }

    fn revisions_of(cluster: &dyn Cluster) -> [u64; 4] {
        ["clusterroles", "roles", "clusterrolebindings", "rolebindings"]
            .map(|kind| cluster.changed(&resource(kind)))
    }

    /// Whether a binding allows the request, and which.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut asked = Asked::new(attributes);
        let mut missing = Vec::new();
        let namespace = attributes.resource.map(|resource| resource.namespace).unwrap_or_default();
        for entry in self.entries(attributes.user, namespace) {
            match &entry.role {
                Some(role) if role.allows(&mut asked) => {
                    return Decision::allow(Reason::Grant(entry.grant.clone()));
                }
                Some(_) => {}
                None => missing.push(entry.grant.missing_role()),
            }
        }
        match missing.as_slice() {
            [] => Decision::no_opinion(""),
            [one] => Decision::no_opinion(format!("RBAC: {one}")),
            many => Decision::no_opinion(format!("RBAC: [{}]", many.join(", "))),
        }
    }

    /// The rules a user has in a namespace (empty: in the cluster), and what could not be found.
    pub fn rules_of<'a>(&'a self, user: &User, namespace: &str) -> (Vec<&'a Rule>, Vec<String>) {
        let mut rules = Vec::new();
        let mut missing = Vec::new();
        for entry in self.entries(user, namespace) {
            match &entry.role {
                Some(role) => rules.extend(&role.rules),
                None => missing.push(entry.grant.missing_role()),
            }
        }
        (rules, missing)
    }

    /// The bindings that name the user, or a group of theirs: the cluster's first.
    fn entries<'a, 'u>(
        &'a self,
        user: &'u User,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Entry> + use<'a, 'u> {
        let local = if namespace.is_empty() { None } else { self.namespaces.get(namespace) };
        [Some(&self.cluster), local].into_iter().flatten().flat_map(|bindings| bindings.of(user))
    }
}

impl Bindings {
    fn of<'a, 'u>(&'a self, user: &'u User) -> impl Iterator<Item = &'a Entry> + use<'a, 'u> {
        let named = self.users.get(&user.name).into_iter().flatten();
        named.chain(user.groups.iter().filter_map(|group| self.groups.get(group)).flatten())
    }

    fn add(&mut self, subject: &Subject, roles: &HashMap<Key, Known<Role>>) {
        let grant = &subject.grant;
        let home = match grant.role_kind.as_str() {
            "ClusterRole" => Some(String::new()),
            // A cluster role binding cannot refer to a role of a namespace.
            "Role" if !grant.namespace.is_empty() => Some(grant.namespace.clone()),
            _ => None,
        };
        let role = home.and_then(|home| roles.get(&(home, grant.role.clone())));
        let entry = Entry { grant: grant.clone(), role: role.map(|known| known.compiled.clone()) };
        let names = if subject.is_group { &mut self.groups } else { &mut self.users };
        match names.get_mut(&subject.name) {
            Some(entries) => entries.push(entry),
            None => drop(names.insert(subject.name.clone(), vec![entry])),
        }
    }
}

/// Whom a binding names, as users and groups.
fn subjects(binding: &Value, namespace: &str) -> Vec<Subject> {
    let base = Grant {
        namespace: namespace.to_owned(),
        binding: text_at(binding, &["metadata", "name"]),
        role_kind: text_at(binding, &["roleRef", "kind"]),
        role: text_at(binding, &["roleRef", "name"]),
        ..Grant::default()
    };
    let read = |subject: &Value| {
        let kind = str_at(subject, &["kind"]);
        let name = text_at(subject, &["name"]);
        let (is_group, name, shown) = match kind {
            "User" => (false, name.clone(), name),
            "Group" => (true, name.clone(), name),
            "ServiceAccount" => {
                let own = str_at(subject, &["namespace"]);
                let home = if own.is_empty() { namespace } else { own };
                if home.is_empty() {
                    return None;
                }
                (false, format!("system:serviceaccount:{home}:{name}"), format!("{name}/{home}"))
            }
            _ => return None,
        };
        Some(Subject { is_group, name, grant: Arc::new(base.clone().bound_to(kind, &shown)) })
    };
    let all = binding.get("subjects").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(read).collect()
}

/// What is known of an object from before, or what it means now.
fn known<T>(
    earlier: Option<&HashMap<Key, Known<T>>>,
    key: &Key,
    object: Arc<Value>,
    compile: impl FnOnce(&Value) -> T,
) -> Known<T> {
    match earlier.and_then(|earlier| earlier.get(key)) {
        Some(known) if Arc::ptr_eq(&known.object, &object) => {
            Known { object, compiled: known.compiled.clone() }
        }
        _ => Known { compiled: Arc::new(compile(&object)), object },
    }
}

impl Role {
    fn compile(rules: Vec<Rule>) -> Self {
        let mut role = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            if !rule.non_resource_urls.is_empty() {
                role.paths.push(at);
            }
            if rule.resources.iter().any(|known| known == ALL || known.starts_with("*/")) {
                role.wild.push(at);
            }
            for known in &rule.resources {
                let rules = role.named.entry(known.clone()).or_default();
                if rules.last() != Some(&at) {
                    rules.push(at);
                }
            }
        }
        role.rules = rules;
        role
    }

    fn allows(&self, asked: &mut Asked<'_>) -> bool {
        let attributes = asked.attributes;
        let candidates = match asked.key() {
            None => return self.paths.iter().any(|at| self.rules[*at].allows(attributes)),
            Some(key) => self.named.get(key).into_iter().flatten().chain(&self.wild),
        };
        candidates.into_iter().any(|at| self.rules[*at].allows(attributes))
    }
}

/// The request with its resource spelt as rules spell it, once for all roles.
struct Asked<'a> {
    attributes: &'a Attributes<'a>,
    combined: Option<String>,
}

impl<'a> Asked<'a> {
    fn new(attributes: &'a Attributes<'a>) -> Self {
        let combined = match &attributes.resource {
            Some(ResourceAttributes { resource, subresource, .. }) if !subresource.is_empty() => {
                Some(format!("{resource}/{subresource}"))
            }
            _ => None,
        };
        Self { attributes, combined }
    }

    fn key(&self) -> Option<&str> {
        let resource = self.attributes.resource.as_ref()?;
        Some(self.combined.as_deref().unwrap_or(resource.resource))
    }
}

impl Grant {
    fn bound_to(mut self, kind: &str, name: &str) -> Self {
        let binding = if self.namespace.is_empty() {
            format!("ClusterRoleBinding {:?}", self.binding)
        } else {
            format!("RoleBinding {:?}", format!("{}/{}", self.binding, self.namespace))
        };
        self.text =
            format!("RBAC: allowed by {binding} of {} {:?} to {kind} {name:?}", self.role_kind, self.role);
        self.subject_kind = kind.to_owned();
        self.subject = name.to_owned();
        self
    }

    fn missing_role(&self) -> String {
        let resource = self.role_kind.to_lowercase();
        match self.role_kind.as_str() {
            "ClusterRole" => format!("{resource}.{} {:?} not found", super::GROUP, self.role),
            "Role" if !self.namespace.is_empty() => {
                format!("{resource}.{} {:?} not found", super::GROUP, self.role)
            }
            kind => format!("unsupported role reference kind: {kind:?}"),
        }
    }
}

/// In the order of their names, so that the same cluster always gives the same reason.
fn sorted(objects: Vec<Arc<Value>>) -> BTreeMap<Key, Arc<Value>> {
    let key = |object: &Value| {
        (text_at(object, &["metadata", "namespace"]), text_at(object, &["metadata", "name"]))
    };
    objects.into_iter().map(|object| (key(&object), object)).collect()
}

/// The string at a path, or nothing.
pub(crate) fn text_at(value: &Value, path: &[&str]) -> String {
    str_at(value, path).to_owned()
}

/// The string at a path, or nothing.
pub(crate) fn str_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    let found = path.iter().try_fold(value, |value, field| value.get(field));
    found.and_then(Value::as_str).unwrap_or_default()
}
