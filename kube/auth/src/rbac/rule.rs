//! One rule of a role: what it says, and what it matches.

use serde_json::{Map, Value, json};

use crate::attributes::{Attributes, ResourceAttributes};

/// `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// What may be done; `*` is everything.
    pub verbs: Vec<String>,
    /// In which groups; `*` is every group, the empty one is core.
    pub api_groups: Vec<String>,
    /// To which resources: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// To which objects; none is all.
    pub resource_names: Vec<String>,
    /// Or to which paths; a `*` at the end is any rest.
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// Reads a rule; what is not a list of strings is no string.
    pub fn from_value(value: &Value) -> Self {
        let strings = |field: &str| -> Vec<String> {
            let items = value.get(field).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: strings("verbs"),
            api_groups: strings("apiGroups"),
            resources: strings("resources"),
            resource_names: strings("resourceNames"),
            non_resource_urls: strings("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn all_of(role: &Value) -> Vec<Self> {
        role.get("rules").and_then(Value::as_array).into_iter().flatten().map(Self::from_value).collect()
    }

    /// The API's form: only the fields that are set, verbs always.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (field, items) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !items.is_empty() {
                map.insert(field.to_owned(), json!(items));
            }
        }
        map.insert("verbs".to_owned(), json!(self.verbs));
        Value::Object(map)
    }

    /// Whether it allows the request.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        match &attributes.resource {
            Some(asked) => {
                self.verb_matches(attributes.verb)
                    && self.group_matches(asked.group)
                    && self.resource_matches(asked)
                    && self.name_matches(asked.name)
            }
            None => self.verb_matches(attributes.verb) && self.url_matches(attributes.path),
        }
    }

    pub(crate) fn verb_matches(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == ALL || known == verb)
    }

    pub(crate) fn group_matches(&self, group: &str) -> bool {
        self.api_groups.iter().any(|known| known == ALL || known == group)
    }

    pub(crate) fn resource_matches(&self, asked: &ResourceAttributes<'_>) -> bool {
        self.resources.iter().any(|known| resource_covers(known, asked.resource, asked.subresource))
    }

    pub(crate) fn name_matches(&self, name: &str) -> bool {
        self.resource_names.is_empty() || self.resource_names.iter().any(|known| known == name)
    }

    pub(crate) fn url_matches(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|known| url_covers(known, path))
    }

    /// The rule in the words of the escalation message.
    pub(crate) fn compact(&self) -> String {
        let mut parts = Vec::new();
        for (name, items) in [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ] {
            if !items.is_empty() {
                let quoted: Vec<_> = items.iter().map(|item| format!("{item:?}")).collect();
                parts.push(format!("{name}:[{}]", quoted.join(" ")));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }
}

/// Whether the rule's resource is the asked one: itself, `*`, or `*/sub`.
pub(crate) fn resource_covers(known: &str, resource: &str, subresource: &str) -> bool {
    if known == ALL {
        return true;
    }
    if subresource.is_empty() {
        return known == resource;
    }
    match known.split_once('/') {
        Some((main, sub)) => sub == subresource && (main == resource || main == ALL),
        None => false,
    }
}

/// Whether the rule's path covers the asked one.
pub(crate) fn url_covers(known: &str, path: &str) -> bool {
    known == ALL || known == path || (known.ends_with('*') && path.starts_with(known.trim_end_matches('*')))
}

/// Every verb, group, resource or path.
pub(crate) const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_resources_as_upstream() {
        for (known, resource, subresource, covers) in [
            ("*", "pods", "", true),
            ("*", "pods", "log", true),
            ("pods", "pods", "", true),
            ("pods", "pods", "log", false),
            ("pods/log", "pods", "log", true),
            ("pods/log", "pods", "", false),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "status", false),
            ("pods/*", "pods", "log", false),
        ] {
            assert_eq!(
                resource_covers(known, resource, subresource),
                covers,
                "{known} {resource}/{subresource}"
            );
        }
        for (known, path, covers) in [
            ("*", "/x", true),
            ("/api", "/api", true),
            ("/api", "/api/v1", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
            ("/heal*", "/healthz", true),
        ] {
            assert_eq!(url_covers(known, path), covers, "{known} {path}");
        }
    }

    #[test]
    fn keeps_its_form() {
        let value =
            json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]});
        let rule = Rule::from_value(&value);
        assert_eq!(rule.to_value(), value);
        assert_eq!(
            rule.compact(),
            r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}"#
        );
        assert_eq!(Rule::from_value(&json!({"verbs": 3, "resources": [1, "x"]})).resources, ["x"]);
    }
}
