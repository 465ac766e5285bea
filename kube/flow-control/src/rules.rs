//! Which requests a FlowSchema matches.

use kube_object::user::User;
use serde_json::Value;

use crate::config::{Distinguisher, Schema};

/// A request, as far as schemas look at it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asks.
    pub user: &'a User,
    /// `get`, `list`, `create`, …; of a path that is no resource the method in lower case.
    pub verb: &'a str,
    /// The path.
    pub path: &'a str,
    /// What of the API it is about; none for other paths.
    pub resource: Option<Resource<'a>>,
}

/// What of the API a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    /// The group, empty for core.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
    /// The part of the object; empty for all of it.
    pub subresource: &'a str,
    /// The namespace; empty for none, and for all.
    pub namespace: &'a str,
}

/// PolicyRulesWithSubjects.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Clone, Debug, PartialEq)]
enum Subject {
    User(String),
    Group(String),
    /// Namespace and name.
    ServiceAccount(String, String),
}

#[derive(Clone, Debug, PartialEq)]
struct ResourceRule {
    verbs: Names,
    groups: Names,
    resources: Names,
    cluster: bool,
    namespaces: Names,
}

#[derive(Clone, Debug, PartialEq)]
struct PathRule {
    verbs: Names,
    paths: Vec<String>,
}

/// A list of names, or `*`.
#[derive(Clone, Debug, PartialEq)]
enum Names {
    All,
    These(Vec<String>),
}

impl Schema {
    /// Whether a request belongs to the schema.
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
    }

    /// What tells the request's flow from the schema's other flows.
    pub fn distinguisher_of<'a>(&self, asked: &Asked<'a>) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => &asked.user.name,
            Distinguisher::Namespace => asked.resource.map_or("", |resource| resource.namespace),
        }
    }
}

impl Rule {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(asked.user)) {
            return false;
        }
        match &asked.resource {
            Some(resource) => self.resources.iter().any(|rule| rule.matches(asked.verb, resource)),
            None => self.paths.iter().any(|rule| rule.matches(asked.verb, asked.path)),
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.is_in(name),
            Self::ServiceAccount(namespace, name) => user
                .service_account()
                .is_some_and(|(of, own)| of == namespace && (name == "*" || own == name)),
        }
    }
}

impl ResourceRule {
    fn matches(&self, verb: &str, asked: &Resource<'_>) -> bool {
        let of_place =
            if asked.namespace.is_empty() { self.cluster } else { self.namespaces.has(asked.namespace) };
        of_place
            && self.verbs.has(verb)
            && self.groups.has(asked.group)
            && self.resources.has_part(asked.resource, asked.subresource)
    }
}

impl PathRule {
    fn matches(&self, verb: &str, path: &str) -> bool {
        self.verbs.has(verb) && self.paths.iter().any(|rule| covers(rule, path))
    }
}

/// Whether a path is the rule's or below it; a `*` at the rule's end says no more than that.
fn covers(rule: &str, path: &str) -> bool {
    if rule == "*" || rule == path {
        return true;
    }
    let above = rule.strip_suffix('*').unwrap_or(rule);
    let above = above.strip_suffix('/').unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

impl Names {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|one| one == name),
        }
    }

    /// The same for a resource, written `resource/subresource` where a part is meant.
    fn has_part(&self, resource: &str, part: &str) -> bool {
        let Self::These(names) = self else { return true };
        if part.is_empty() {
            return self.has(resource);
        }
        names.iter().any(|one| one.split_once('/') == Some((resource, part)))
    }

    fn read(rule: &Value, field: &str) -> Self {
        let names = texts(rule, field);
        if names == ["*"] { Self::All } else { Self::These(names) }
    }
}

/// The rules of a FlowSchema's spec.
pub(crate) fn rules(spec: &Value) -> Vec<Rule> {
    let rule = |rule: &Value| Rule {
        subjects: list(rule, "subjects").filter_map(subject).collect(),
        resources: list(rule, "resourceRules").map(resource_rule).collect(),
        paths: list(rule, "nonResourceRules").map(path_rule).collect(),
    };
    list(spec, "rules").map(rule).collect()
}

fn subject(subject: &Value) -> Option<Subject> {
    let text = |pointer: &str| subject.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match subject.get("kind")?.as_str()? {
        "User" => text("/user/name").map(Subject::User),
        "Group" => text("/group/name").map(Subject::Group),
        "ServiceAccount" => {
            Some(Subject::ServiceAccount(text("/serviceAccount/namespace")?, text("/serviceAccount/name")?))
        }
        _ => None,
    }
}

fn resource_rule(rule: &Value) -> ResourceRule {
    ResourceRule {
        verbs: Names::read(rule, "verbs"),
        groups: Names::read(rule, "apiGroups"),
        resources: Names::read(rule, "resources"),
        cluster: rule.get("clusterScope").and_then(Value::as_bool).unwrap_or(false),
        namespaces: Names::read(rule, "namespaces"),
    }
}

fn path_rule(rule: &Value) -> PathRule {
    PathRule { verbs: Names::read(rule, "verbs"), paths: texts(rule, "nonResourceURLs") }
}

fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn texts(object: &Value, field: &str) -> Vec<String> {
    list(object, field).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bootstrap;
    use crate::config::Config;

    fn user(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// `verb group/resource[/part] [namespace]`, or `verb /path`.
    fn schema_of(config: &Config, user: &User, words: &str) -> String {
        let mut words = words.split(' ');
        let (verb, what) = (words.next().unwrap(), words.next().unwrap());
        let resource = (!what.starts_with('/')).then(|| {
            let mut parts = what.split('/');
            Resource {
                group: parts.next().filter(|group| *group != "core").unwrap_or(""),
                resource: parts.next().unwrap(),
                subresource: parts.next().unwrap_or(""),
                namespace: words.next().unwrap_or(""),
            }
        });
        let asked = Asked { user, verb, path: what, resource };
        let found = config.schemas.iter().find(|schema| schema.matches(&asked));
        found.map_or("none".to_owned(), |schema| schema.name.clone())
    }

    #[test]
    fn the_usual_schemas_know_the_usual_clients() {
        let (levels, schemas) = (bootstrap::levels(), bootstrap::schemas());
        let config = Config::new(&levels, &schemas);
        const ALL: &str = "system:authenticated";
        let node = user("system:node:a", &["system:nodes", ALL]);
        let admin = user("admin", &["system:masters", ALL]);
        let manager = user("system:kube-controller-manager", &[ALL]);
        let account = user(
            "system:serviceaccount:kube-system:job-controller",
            &["system:serviceaccounts", "system:serviceaccounts:kube-system", ALL],
        );
        let other = user("system:serviceaccount:kube-systems:web", &["system:serviceaccounts", ALL]);
        let alice = user("alice", &[ALL]);
        let leases = "coordination.k8s.io/leases";
        for (user, words, schema) in [
            (&admin, "list core/pods x".to_owned(), "exempt"),
            (&alice, "get /healthz".to_owned(), "probes"),
            (&alice, "get /readyz/etcd".to_owned(), "probes"),
            (&alice, "get /readyzz".to_owned(), "global-default"),
            (&alice, "post /healthz".to_owned(), "global-default"),
            (&node, "get /version".to_owned(), "system-nodes"),
            (&node, format!("update {leases} kube-node-lease"), "system-node-high"),
            (&node, "patch core/nodes/status".to_owned(), "system-node-high"),
            (&manager, format!("update {leases} kube-system"), "system-leader-election"),
            (&manager, format!("delete {leases} kube-system"), "kube-controller-manager"),
            (&account, format!("get {leases} other"), "system-leader-election"),
            (&account, "list apps/deployments".to_owned(), "kube-system-service-accounts"),
            (&other, format!("get {leases} kube-system"), "service-accounts"),
            (&alice, "create apps/deployments default".to_owned(), "global-default"),
            (&user("", &[]), "create apps/deployments default".to_owned(), "none"),
        ] {
            assert_eq!(schema_of(&config, user, &words), schema, "{} {words}", user.name);
        }
    }

    #[test]
    fn core_resources_and_their_parts() {
        let spec = json!({"rules": [{
            "subjects": [{"kind": "User", "user": {"name": "*"}}],
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes", "pods/log"],
                "clusterScope": true, "namespaces": ["a"]}],
        }]});
        let object = json!({"metadata": {"name": "s"}, "spec": spec});
        let schema = Schema::parse(&object).unwrap();
        let asker = user("x", &[]);
        for (verb, resource, subresource, namespace, matches) in [
            ("get", "nodes", "", "", true),
            ("get", "nodes", "status", "", false),
            ("get", "pods", "log", "a", true),
            ("get", "pods", "log", "b", false),
            ("get", "pods", "", "a", false),
            ("list", "nodes", "", "", false),
        ] {
            let resource = Resource { group: "", resource, subresource, namespace };
            let asked = Asked { user: &asker, verb, path: "", resource: Some(resource) };
            assert_eq!(schema.matches(&asked), matches, "{verb} {resource:?}");
        }
    }

    #[test]
    fn flows_are_told_apart() {
        let asker = user("x", &[]);
        let resource = Some(Resource { namespace: "n", ..Resource::default() });
        let asked = Asked { user: &asker, verb: "get", path: "", resource };
        for (method, expected) in [("ByUser", "x"), ("ByNamespace", "n"), ("", "")] {
            let object =
                json!({"metadata": {"name": "s"}, "spec": {"distinguisherMethod": {"type": method}}});
            assert_eq!(Schema::parse(&object).unwrap().distinguisher_of(&asked), expected, "{method}");
        }
    }
}
