//! What a pod asks for and may use at most, over all its containers.

use base::Quantity;
use serde_json::Value;

use super::list::ResourceList;

/// Which half of `resources` is meant.
#[derive(Clone, Copy)]
enum Side {
    Requests,
    Limits,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What the pod requests: containers and sidecars summed, at least what any init container
/// needs while it runs, the pod's own requests where it states them, and its overhead.
pub fn pod_requests(pod: &Value) -> ResourceList {
    let requests = with_pod_level(pod, Side::Requests, containers(pod, Side::Requests));
    requests.plus(&ResourceList::from_value(pod.pointer("/spec/overhead")))
}

/// What the pod may use at most; overhead raises only what is limited.
pub fn pod_limits(pod: &Value) -> ResourceList {
    let mut limits = with_pod_level(pod, Side::Limits, containers(pod, Side::Limits));
    for (name, amount) in ResourceList::from_value(pod.pointer("/spec/overhead")).iter() {
        if let Some(limit) = limits.get_mut(name).filter(|limit| !limit.is_zero()) {
            *limit = limit.plus(*amount);
        }
    }
    limits
}

/// Whether nothing of CPU and memory is requested or limited.
pub fn is_best_effort(pod: &Value) -> bool {
    if let Some(class) = pod.pointer("/status/qosClass").and_then(Value::as_str).filter(|c| !c.is_empty()) {
        return class == "BestEffort";
    }
    let asks = |holder: &Value| {
        [Side::Requests, Side::Limits].into_iter().any(|side| {
            let list = stated(holder, side);
            ["cpu", "memory"]
                .iter()
                .any(|name| list.get(*name).is_some_and(|amount| !amount.is_zero() && !amount.is_negative()))
        })
    };
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    !asks(spec) && !items(spec, "containers").chain(items(spec, "initContainers")).any(asks)
}

fn with_pod_level(pod: &Value, side: Side, mut sum: ResourceList) -> ResourceList {
    for (name, amount) in stated(pod.get("spec").unwrap_or(&Value::Null), side).iter() {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            sum.insert(name.clone(), *amount);
        }
    }
    sum
}

fn containers(pod: &Value, side: Side) -> ResourceList {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let mut sum = ResourceList::default();
    for container in items(spec, "containers") {
        sum = sum.plus(&effective(pod, container, "containerStatuses", side));
    }
    let (mut sidecars, mut at_start) = (ResourceList::default(), ResourceList::default());
    for container in items(spec, "initContainers") {
        let own = effective(pod, container, "initContainerStatuses", side);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sum = sum.plus(&own);
            sidecars = sidecars.plus(&own);
            at_start = at_start.max(&sidecars);
        } else {
            at_start = at_start.max(&own.plus(&sidecars));
        }
    }
    sum.max(&at_start)
}

/// What a container states, or what it still has while a resize is on its way.
fn effective(pod: &Value, container: &Value, statuses: &str, side: Side) -> ResourceList {
    let own = stated(container, side);
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let named = |status: &&Value| status.get("name").and_then(Value::as_str) == Some(name);
    let Some(status) = pod.get("status").and_then(|status| items(status, statuses).find(named)) else {
        return own;
    };
    if status.get("resources").is_none_or(Value::is_null) {
        return own;
    }
    let mut actual = stated(status, side);
    if matches!(side, Side::Requests) {
        actual = actual.max(&ResourceList::from_value(status.get("allocatedResources")));
    }
    if resize_is_infeasible(pod) { actual } else { own.max(&actual) }
}

fn resize_is_infeasible(pod: &Value) -> bool {
    let text = |condition: &Value, name| condition.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(status) = pod.get("status") else { return false };
    items(status, "conditions").any(|condition| {
        text(condition, "type").as_deref() == Some("PodResizePending")
            && text(condition, "reason").as_deref() == Some("Infeasible")
    })
}

fn stated(holder: &Value, side: Side) -> ResourceList {
    ResourceList::from_value(holder.get("resources").and_then(|resources| resources.get(side.name())))
}

fn items<'a>(holder: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    holder.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// What a pod, or a single container, is charged for what it requests and is limited to.
pub(super) fn compute(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut usage = ResourceList::from([("pods", Quantity::from_int(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.to_owned(), *request);
            usage.insert(format!("requests.{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests.iter() {
        if name.starts_with("hugepages-") {
            usage.insert(name.clone(), *request);
            usage.insert(format!("requests.{name}"), *request);
        }
        if is_extended(name) {
            usage.insert(format!("requests.{name}"), *request);
        }
    }
    usage
}

/// Whether a resource is someone's own, such as `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && kube_object::names::qualified_name(name).is_empty()
}

pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}
