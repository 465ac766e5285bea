//! Which requests a webhook or a policy is for: rules and selectors.

use std::collections::BTreeMap;

use kube_object::label_selector::{InvalidLabelSelector, LabelSelector};
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::status::Status;
use serde_json::Value;

use crate::plugin::{Need, Scene};
use crate::read::{at, items, members, text};
use crate::request::{Operation, Request};

/// The rules and selectors of one webhook or policy.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    equivalent: bool,
    /// Whether it is for everything if it has no rules.
    open: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

/// In which form a request is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// As this resource.
    pub(crate) resource: GroupVersionResource,
    /// As this kind.
    pub(crate) kind: GroupVersionKind,
}

/// `RuleWithOperations`, or `NamedRuleWithOperations`.
#[derive(Clone, Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<(String, String)>,
    names: Vec<String>,
    scope: String,
}

impl Match {
    /// Reads a webhook, whose rules and selectors are its own members.
    pub(crate) fn of_webhook(webhook: &Value) -> Result<Self, InvalidLabelSelector> {
        Self::read(webhook, ["rules", ""], false)
    }

    /// Reads `matchConstraints` of a policy or `matchResources` of a binding. Without any
    /// rules a binding is for all that its policy is for.
    pub(crate) fn of_policy(resources: &Value) -> Result<Self, InvalidLabelSelector> {
        Self::read(resources, ["resourceRules", "excludeResourceRules"], true)
    }

    fn read(value: &Value, [rules, excluded]: [&str; 2], open: bool) -> Result<Self, InvalidLabelSelector> {
        let selector = |name| match at(value, &[name]) {
            Value::Null => Ok(LabelSelector::everything()),
            selector => LabelSelector::from_value(selector),
        };
        Ok(Self {
            rules: items(value, &[rules]).iter().map(Rule::read).collect(),
            excluded: items(value, &[excluded]).iter().map(Rule::read).collect(),
            equivalent: text(value, &["matchPolicy"]) != "Exact",
            open,
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
        })
    }

    /// Whether the labels of the namespace and of the object are selected. Refused if the
    /// namespace is needed and not there.
    pub(crate) fn selects(&self, request: &Request, scene: &Scene<'_>) -> Result<bool, Status> {
        Ok(self.selects_object(request) && self.selects_namespace(request, scene)?)
    }

    fn selects_object(&self, request: &Request) -> bool {
        let selected = |object: &Option<Value>| {
            object.as_ref().is_some_and(|object| self.objects.matches(&labels(object)))
        };
        self.objects.is_everything() || selected(&request.object) || selected(&request.old)
    }

    fn selects_namespace(&self, request: &Request, scene: &Scene<'_>) -> Result<bool, Status> {
        let is_namespace = request.resource.resource == "namespaces";
        if self.namespaces.is_everything() || (request.namespace.is_empty() && !is_namespace) {
            return Ok(true);
        }
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if is_namespace && request.subresource.is_empty() && writes {
            return Ok(request
                .object
                .as_ref()
                .is_some_and(|object| self.namespaces.matches(&labels(object))));
        }
        let resource = GroupResource::new("", "namespaces");
        let namespace = scene.get(&resource, "", &request.namespace);
        let namespace = namespace.ok_or_else(|| Status::not_found(&resource, &request.namespace))?;
        Ok(self.namespaces.matches(&labels(&namespace)))
    }

    /// In which form the rules see a request; none if they don't. A request to another
    /// version of what a rule names is seen in that version, unless the match is exact.
    pub(crate) fn sees(&self, request: &Request, scene: &Scene<'_>) -> Option<Seen> {
        let own = Seen { resource: request.resource.clone(), kind: request.kind.clone() };
        let matches = |rule: &Rule, resource: &GroupVersionResource| rule.matches(request, resource);
        if self.excluded.iter().any(|rule| matches(rule, &request.resource)) {
            return None;
        }
        let all = self.open && self.rules.is_empty();
        let directly = all || self.rules.iter().any(|rule| matches(rule, &request.resource));
        if !self.equivalent || (directly && self.excluded.is_empty()) {
            return directly.then_some(own);
        }
        if self.rules.is_empty() && self.excluded.is_empty() {
            return None;
        }
        let others = scene.host.kinds.equivalents(&request.resource, &request.subresource);
        if others.iter().any(|(other, _)| self.excluded.iter().any(|rule| matches(rule, other))) {
            return None;
        }
        if directly {
            return Some(own);
        }
        self.rules.iter().find_map(|rule| {
            let (resource, kind) = others.iter().find(|(other, _)| matches(rule, other))?;
            Some(Seen { resource: resource.clone(), kind: kind.clone() })
        })
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let texts = |name| {
            let texts = items(rule, &[name]).iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        let split = |resource: String| match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
            None => (resource, String::new()),
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources").into_iter().map(split).collect(),
            names: texts("resourceNames"),
            scope: text(rule, &["scope"]).to_owned(),
        }
    }

    fn matches(&self, request: &Request, resource: &GroupVersionResource) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let cluster_wide =
            request.namespace.is_empty() || (resource.group.is_empty() && resource.resource == "namespaces");
        let in_scope = match self.scope.as_str() {
            "Namespaced" => !cluster_wide,
            "Cluster" => cluster_wide,
            _ => true,
        };
        let is_resource = |(name, sub): &(String, String)| {
            (name == "*" || *name == resource.resource) && (sub == "*" || *sub == request.subresource)
        };
        in_scope
            && has(&self.operations, request.operation.as_str())
            && has(&self.groups, &resource.group)
            && has(&self.versions, &resource.version)
            && self.resources.iter().any(is_resource)
            && (self.names.is_empty() || self.names.contains(&request.name))
    }
}

/// An object's labels.
pub(crate) fn labels(object: &Value) -> BTreeMap<String, String> {
    members(object, &["metadata", "labels"])
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The namespace that selectors look at.
pub(crate) fn needs_namespace(request: &Request) -> Option<Need> {
    let namespaces = GroupResource::new("", "namespaces");
    (!request.namespace.is_empty()).then(|| Need::of(namespaces, "", &request.namespace))
}

/// Whether a request is about webhooks and policies themselves, which none of them may
/// hold up, or about who may do what.
pub(crate) fn is_exempt(request: &Request) -> bool {
    const OWN: [&str; 6] = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    ];
    let reviews = matches!(request.resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
        && request.resource.resource.ends_with("reviews");
    let own =
        request.kind.group == "admissionregistration.k8s.io" && OWN.contains(&request.kind.kind.as_str());
    own || reviews
}
