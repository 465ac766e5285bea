//! Which nodes a pod may and would rather go to: `nodeSelector` and node affinity.

use kube_object::label_selector::{Operator, Requirement};
use serde_json::Value;

use crate::node::Node;
use crate::read::{items, labels, member, number, text, texts};

/// A pod's demands and wishes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRules {
    /// Labels that the node must have.
    selector: Vec<(String, String)>,
    /// One of these must fit, if there are any demands.
    required: Option<Vec<NodeTerm>>,
    /// Wishes and what each is worth.
    preferred: Vec<(i64, NodeTerm)>,
}

/// A term of node affinity: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    /// Names that `metadata.name` must be among, and must not.
    names: Vec<(bool, Vec<String>)>,
    /// Whether it has a requirement that nothing fulfils.
    impossible: bool,
}

impl NodeRules {
    /// Reads a pod's `spec`.
    pub fn read(spec: &Value) -> Self {
        let affinity = member(member(spec, "affinity"), "nodeAffinity");
        let wishes = items(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
        Self {
            selector: labels(spec, "nodeSelector").into_iter().collect(),
            required: NodeTerm::read_selector(member(
                affinity,
                "requiredDuringSchedulingIgnoredDuringExecution",
            )),
            preferred: wishes
                .iter()
                .map(|wish| (number(wish, "weight", 1), NodeTerm::read(member(wish, "preference"))))
                .collect(),
        }
    }

    /// Whether every node will do.
    pub fn allow_all(&self) -> bool {
        self.selector.is_empty() && self.required.is_none()
    }

    /// Whether the pod may go to the node.
    pub fn allow(&self, node: &Node) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.fits(node)))
    }

    /// What the node is worth to the pod.
    pub fn worth(&self, node: &Node) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.fits(node)).map(|(weight, _)| weight).sum()
    }

    /// Whether there are wishes.
    pub fn has_wishes(&self) -> bool {
        !self.preferred.is_empty()
    }

    /// The demands, for people.
    pub fn demands(&self) -> String {
        let selector = self.selector.iter().map(|(key, value)| format!("{key}={value}"));
        let terms = self.required.iter().flatten().map(NodeTerm::to_string);
        let alternatives = terms.collect::<Vec<_>>().join(" or ");
        let all = selector.chain((!alternatives.is_empty()).then_some(alternatives));
        all.collect::<Vec<_>>().join(", ")
    }

    /// The names of the only nodes that can do, if the demands name nodes.
    pub fn only_names(&self) -> Option<Vec<&str>> {
        let terms = self.required.as_ref()?;
        let mut names = Vec::new();
        for term in terms {
            let (_, named) = term.names.iter().find(|(among, _)| *among)?;
            names.extend(named.iter().map(String::as_str));
        }
        Some(names)
    }
}

impl NodeTerm {
    /// Reads a `NodeSelector`; none where there is none.
    pub fn read_selector(selector: &Value) -> Option<Vec<Self>> {
        let terms = selector.get("nodeSelectorTerms")?.as_array()?;
        // A term without requirements fits nothing.
        let terms = terms.iter().map(Self::read).filter(|term| !term.is_empty());
        Some(terms.collect())
    }

    /// Reads a class's `allowedTopologies`; none where there are none.
    pub(crate) fn read_topologies(class: &Value) -> Option<Vec<Self>> {
        let terms = class.get("allowedTopologies")?.as_array().filter(|terms| !terms.is_empty())?;
        let read = |term: &Value| {
            let among =
                |it: &Value| Requirement::new(text(it, "key"), Operator::In, texts(it, "values")).ok();
            let all = items(term, "matchLabelExpressions").iter().map(among);
            let labels: Option<Vec<_>> = all.collect();
            Self { impossible: labels.is_none(), labels: labels.unwrap_or_default(), names: Vec::new() }
        };
        Some(terms.iter().map(read).collect())
    }

    fn read(term: &Value) -> Self {
        let mut out = Self::default();
        for expression in items(term, "matchExpressions") {
            match requirement(expression) {
                Some(requirement) => out.labels.push(requirement),
                None => out.impossible = true,
            }
        }
        for expression in items(term, "matchFields") {
            match (text(expression, "key"), text(expression, "operator")) {
                ("metadata.name", "In") => out.names.push((true, texts(expression, "values"))),
                ("metadata.name", "NotIn") => out.names.push((false, texts(expression, "values"))),
                _ => out.impossible = true,
            }
        }
        out
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.names.is_empty() && !self.impossible
    }

    /// Whether the node is as the term demands.
    pub fn fits(&self, node: &Node) -> bool {
        !self.impossible
            && !self.is_empty()
            && self.labels.iter().all(|requirement| requirement.matches(&node.labels))
            && self.names.iter().all(|(among, names)| names.iter().any(|name| **name == *node.name) == *among)
    }
}

impl std::fmt::Display for NodeTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels = self.labels.iter().map(Requirement::to_string);
        let names = self.names.iter().map(|(among, names)| {
            format!("metadata.name {} ({})", if *among { "in" } else { "notin" }, names.join(","))
        });
        f.write_str(&labels.chain(names).collect::<Vec<_>>().join(" and "))
    }
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let operator = match text(expression, "operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(text(expression, "key"), operator, texts(expression, "values")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn demands_and_wishes() {
        let node = Node::read(&json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}}}));
        let term = |expressions: Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": expressions}]}}}})
        };
        for (spec, allowed) in [
            (json!({}), true),
            (json!({"nodeSelector": {"disk": "ssd"}}), true),
            (json!({"nodeSelector": {"disk": "hdd"}}), false),
            (term(json!([{"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}])), true),
            (term(json!([{"key": "disk", "operator": "NotIn", "values": ["ssd"]}])), false),
            (term(json!([{"key": "gpu", "operator": "DoesNotExist"}])), true),
            (term(json!([{"key": "cores", "operator": "Gt", "values": ["4"]}])), true),
            (term(json!([{"key": "cores", "operator": "Lt", "values": ["4"]}])), false),
            (term(json!([{"key": "cores", "operator": "Gt", "values": ["many"]}])), false),
            // A term without requirements fits nothing.
            (term(json!([])), false),
        ] {
            assert_eq!(NodeRules::read(&spec).allow(&node), allowed, "{spec}");
        }
        let by_name = json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}},
                {"weight": 3, "preference": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}}]}}});
        let rules = NodeRules::read(&by_name);
        assert_eq!((rules.only_names(), rules.worth(&node)), (Some(vec!["n1"]), 5));
        assert_eq!(rules.demands(), "metadata.name in (n1)");
    }
}
