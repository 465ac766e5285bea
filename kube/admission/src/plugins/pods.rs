//! Small steps for pods and nodes: taints of new nodes, tolerations, runtime classes, node
//! selectors of namespaces, topology labels, pull policies.

use std::collections::BTreeMap;

use kube_api::quota::ResourceList;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::notes::Notes;
use crate::plugin::{Need, Plugin, Scene};
use crate::read::{at, is_empty, items, list_mut, members, object_mut, set, text};
use crate::request::{Operation, Request};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// `TaintNodesByCondition`: a new node takes no pods until it is ready.
pub(crate) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "nodes") {
            return Ok(());
        }
        let Some(node) = &mut request.object else { return Ok(()) };
        let is_same =
            |taint: &Value| text(taint, &["key"]) == NOT_READY && text(taint, &["effect"]) == "NoSchedule";
        if !items(node, &["spec", "taints"]).iter().any(is_same)
            && let Some(taints) = list_mut(node, &["spec"], "taints")
        {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}

/// `DefaultTolerationSeconds`: pods stay on a node that fails for a while.
pub(crate) struct DefaultTolerationSeconds {
    /// How long on one that is not ready.
    pub(crate) not_ready_seconds: i64,
    /// How long on one that cannot be reached.
    pub(crate) unreachable_seconds: i64,
}

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn mutate(&self, request: &mut Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        for (taint, seconds) in [(NOT_READY, self.not_ready_seconds), (UNREACHABLE, self.unreachable_seconds)]
        {
            let tolerates = |toleration: &Value| {
                let (key, effect) = (text(toleration, &["key"]), text(toleration, &["effect"]));
                (key == taint || key.is_empty()) && matches!(effect, "" | "NoExecute")
            };
            if !items(pod, &["spec", "tolerations"]).iter().any(tolerates)
                && let Some(tolerations) = list_mut(pod, &["spec"], "tolerations")
            {
                tolerations.push(json!({
                    "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
                }));
            }
        }
        Ok(())
    }
}

/// `RuntimeClass`: pods get the overhead and the nodes of their runtime.
pub(crate) struct RuntimeClass;

impl RuntimeClass {
    fn class(request: &Request, scene: &Scene<'_>) -> Result<Option<std::sync::Arc<Value>>, Status> {
        let pod = request.object.as_ref().unwrap_or(&Value::Null);
        let Some(name) = at(pod, &["spec", "runtimeClassName"]).as_str() else { return Ok(None) };
        let found = scene.get(&GroupResource::new("node.k8s.io", "runtimeclasses"), "", name);
        let missing = || request.forbidden(format_args!("pod rejected: RuntimeClass {name:?} not found"));
        found.ok_or_else(missing).map(Some)
    }
}

const OVERHEAD_DIFFERS: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        let pod = request.object.as_ref().filter(|_| request.is_for("", "pods"));
        let name = pod.and_then(|pod| at(pod, &["spec", "runtimeClassName"]).as_str());
        let need = |name| Need::of(GroupResource::new("node.k8s.io", "runtimeclasses"), "", name);
        name.map(need).into_iter().collect()
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(class) = Self::class(request, scene)? else { return Ok(()) };
        let pod = request.object.as_ref().unwrap_or(&Value::Null);
        let (fixed, own) = overheads(&class, pod);
        if at(&class, &["overhead"]).is_object() && !own.is_empty() && own != fixed {
            return Err(request.forbidden(OVERHEAD_DIFFERS));
        }
        let mut selector = at(pod, &["spec", "nodeSelector"]).clone();
        for (key, wanted) in members(&class, &["scheduling", "nodeSelector"]) {
            let stated = selector.get(key).unwrap_or(&Value::Null);
            if !stated.is_null() && stated != wanted {
                let (wanted, stated) =
                    (wanted.as_str().unwrap_or_default(), stated.as_str().unwrap_or_default());
                return Err(request.forbidden(format_args!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}, \
                     pod.spec.nodeSelector[{key}] = {stated}"
                )));
            }
            set(&mut selector, &[], key, wanted.clone());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        if at(&class, &["overhead"]).is_object() {
            set(pod, &["spec"], "overhead", fixed.to_value());
        }
        if !is_empty(&selector) {
            set(pod, &["spec"], "nodeSelector", selector);
        }
        for toleration in items(&class, &["scheduling", "tolerations"]) {
            if !items(pod, &["spec", "tolerations"]).contains(toleration)
                && let Some(tolerations) = list_mut(pod, &["spec"], "tolerations")
            {
                tolerations.push(toleration.clone());
            }
        }
        Ok(())
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let class = Self::class(request, scene)?;
        let class = class.as_deref().unwrap_or(&Value::Null);
        let pod = request.object.as_ref().unwrap_or(&Value::Null);
        let (fixed, own) = overheads(class, pod);
        if at(class, &["overhead"]).is_object() {
            if own != fixed {
                return Err(request.forbidden(OVERHEAD_DIFFERS));
            }
        } else if !own.is_empty() {
            return Err(request.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ));
        }
        Ok(())
    }
}

fn overheads(class: &Value, pod: &Value) -> (ResourceList, ResourceList) {
    let list = |value| ResourceList::from_value(Some(value));
    (list(at(class, &["overhead", "podFixed"])), list(at(pod, &["spec", "overhead"])))
}

/// `PodNodeSelector`: pods go to the nodes of their namespace. Off unless enabled.
pub(crate) struct PodNodeSelector {
    /// What namespaces without the annotation get.
    pub(crate) default: String,
    /// What pods of a namespace may ask for at most.
    pub(crate) whitelists: BTreeMap<String, String>,
}

impl PodNodeSelector {
    fn selector(&self, request: &Request, scene: &Scene<'_>) -> Result<BTreeMap<String, String>, Status> {
        let namespaces = GroupResource::new("", "namespaces");
        let namespace = scene
            .get(&namespaces, "", &request.namespace)
            .ok_or_else(|| Status::not_found(&namespaces, &request.namespace))?;
        let key = "scheduler.alpha.kubernetes.io/node-selector";
        let stated = at(&namespace, &["metadata", "annotations", key]).as_str();
        labels(stated.unwrap_or(&self.default))
            .ok_or_else(|| request.forbidden("invalid node selector of the namespace"))
    }
}

/// `a=b,c=d` as a map.
fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    let selector = LabelSelector::parse(text).ok()?;
    let exact = |key: &str| Some((key.to_owned(), selector.exact_value(key)?.to_owned()));
    selector.requirements().iter().map(|requirement| exact(requirement.key())).collect()
}

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let wanted = self.selector(request, scene)?;
        let pod = request.object.as_ref().unwrap_or(&Value::Null);
        let own = at(pod, &["spec", "nodeSelector"]);
        let differs = |(key, value): (&String, &String)| own.get(key).is_some_and(|own| own != value);
        if wanted.iter().any(differs) {
            return Err(
                request.forbidden("pod node label selector conflicts with its namespace node label selector")
            );
        }
        if let Some(pod) = &mut request.object
            && !wanted.is_empty()
            && let Some(selector) = object_mut(pod, &["spec", "nodeSelector"])
        {
            selector.extend(wanted.into_iter().map(|(key, value)| (key, Value::from(value))));
        }
        Ok(())
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        let pod = request.object.as_ref().unwrap_or(&Value::Null);
        let own = at(pod, &["spec", "nodeSelector"]);
        let wanted = self.selector(request, scene)?;
        if wanted.iter().any(|(key, value)| own.get(key).is_some_and(|own| own != value)) {
            return Err(
                request.forbidden("pod node label selector conflicts with its namespace node label selector")
            );
        }
        let Some(allowed) = self.whitelists.get(&request.namespace).and_then(|text| labels(text)) else {
            return Ok(());
        };
        let beyond = |(key, value): (&String, &Value)| allowed.get(key).is_some_and(|own| value != own);
        if !allowed.is_empty() && members(own, &[]).any(beyond) {
            return Err(
                request.forbidden("pod node label selector labels conflict with its namespace whitelist")
            );
        }
        Ok(())
    }
}

/// `PodTopologyLabels`: a pod that is bound gets its node's zone and region as labels.
pub(crate) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let binding = request.is_sub("", "pods", "binding");
        if !binding && !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(object) = &mut request.object else { return Ok(()) };
        let node = match text(object, if binding { &["target", "name"] } else { &["spec", "nodeName"] }) {
            "" => return Ok(()),
            name => scene.get(&GroupResource::new("", "nodes"), "", name),
        };
        // Who binds to a node that is not there gets told so elsewhere.
        let Some(node) = node else { return Ok(()) };
        for label in ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"] {
            let value = at(&node, &["metadata", "labels", label]);
            if value.is_string() {
                set(object, &["metadata", "labels"], label, value.clone());
            }
        }
        Ok(())
    }
}

/// `AlwaysPullImages`: an image is pulled with the pod's own credentials. Off unless enabled.
pub(crate) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn mutate(&self, request: &mut Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") && !request.is_sub("", "pods", "ephemeralcontainers") {
            return Ok(());
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        for kind in ["initContainers", "containers", "ephemeralContainers"] {
            if !items(pod, &["spec", kind]).is_empty() {
                for container in list_mut(pod, &["spec"], kind).into_iter().flatten() {
                    set(container, &[], "imagePullPolicy", "Always");
                }
            }
        }
        Ok(())
    }
}
