//! The objects that every cluster begins with. The mandatory ones are always as here; the suggested
//! ones too, until somebody says otherwise in their annotation.

use serde_json::{Map, Value, json};

use crate::{CATCH_ALL, EXEMPT};

/// Whether the server keeps an object's spec as it is here.
pub const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// The levels that there must be.
pub fn mandatory_levels() -> [Value; 2] {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited =
        json!({"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}});
    let catch_all = json!({"type": "Limited", "limited": limited});
    [level_object(CATCH_ALL, &catch_all), level_object(EXEMPT, &exempt)]
}

/// The levels that there should be.
pub fn suggested_levels() -> [Value; 6] {
    // Shares, the percentage that may be lent, queues, and how many of them a flow has.
    let level = |name: &str, [shares, lendable, queues, hand]: [u32; 4]| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let spec = json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        }});
        level_object(name, &spec)
    };
    [
        level("system", [30, 33, 64, 6]),
        level("node-high", [40, 25, 64, 6]),
        level("leader-election", [10, 0, 16, 4]),
        level("workload-high", [40, 50, 128, 6]),
        level("workload-low", [100, 90, 128, 6]),
        level("global-default", [20, 50, 128, 6]),
    ]
}

/// The schemas that there must be.
pub fn mandatory_schemas() -> [Value; 2] {
    let masters = everything(&groups(&["system:masters"]));
    let anybody = everything(&groups(&EVERYBODY));
    [
        schema(EXEMPT, EXEMPT, 1, None, &masters),
        schema(CATCH_ALL, CATCH_ALL, 10_000, Some("ByUser"), &anybody),
    ]
}

/// The schemas that there should be.
pub fn suggested_schemas() -> [Value; 9] {
    let leases = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "namespaces": ["*"]});
    let nodes = groups(&["system:nodes"]);
    let (by_user, by_namespace) = (Some("ByUser"), Some("ByNamespace"));
    let of_nodes = json!({"subjects": nodes, "resourceRules": [
        {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes", "nodes/status"], "clusterScope": true,
            "namespaces": ["*"]},
        leases(&["*"]),
    ]});
    let probes = json!({"subjects": groups(&EVERYBODY), "nonResourceRules": [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]},
    ]});
    let leaders: Vec<Value> = users(&[MANAGER, SCHEDULER]).into_iter().chain(system_accounts()).collect();
    let election = json!({"subjects": leaders, "resourceRules": [leases(&["get", "create", "update"])]});
    let high = "workload-high";
    [
        schema("system-nodes", "system", 500, by_user, &everything(&nodes)),
        schema("system-node-high", "node-high", 400, by_user, &of_nodes),
        schema("probes", EXEMPT, 2, None, &probes),
        schema("system-leader-election", "leader-election", 100, by_user, &election),
        schema("kube-controller-manager", high, 800, by_namespace, &everything(&users(&[MANAGER]))),
        schema("kube-scheduler", high, 800, by_namespace, &everything(&users(&[SCHEDULER]))),
        schema("kube-system-service-accounts", high, 900, by_namespace, &everything(&system_accounts())),
        schema(
            "service-accounts",
            "workload-low",
            9000,
            by_user,
            &everything(&groups(&["system:serviceaccounts"])),
        ),
        schema("global-default", "global-default", 9900, by_user, &everything(&groups(&EVERYBODY))),
    ]
}

/// All levels.
pub fn levels() -> Vec<Value> {
    mandatory_levels().into_iter().chain(suggested_levels()).collect()
}

/// All schemas.
pub fn schemas() -> Vec<Value> {
    mandatory_schemas().into_iter().chain(suggested_schemas()).collect()
}

const MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const EVERYBODY: [&str; 2] = ["system:unauthenticated", "system:authenticated"];

fn level_object(name: &str, spec: &Value) -> Value {
    object("PriorityLevelConfiguration", name, spec)
}

fn schema(name: &str, level: &str, precedence: u32, distinguisher: Option<&str>, rule: &Value) -> Value {
    let mut spec = Map::new();
    spec.insert("priorityLevelConfiguration".to_owned(), json!({"name": level}));
    spec.insert("matchingPrecedence".to_owned(), json!(precedence));
    if let Some(method) = distinguisher {
        spec.insert("distinguisherMethod".to_owned(), json!({"type": method}));
    }
    spec.insert("rules".to_owned(), json!([rule]));
    object("FlowSchema", name, &Value::Object(spec))
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}},
        "spec": spec,
    })
}

/// Whatever the subjects ask.
fn everything(subjects: &[Value]) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [{
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]
        }],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn system_accounts() -> Vec<Value> {
    vec![json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}})]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn all_of_them_make_sense_together() {
        let (levels, schemas) = (levels(), schemas());
        let config = Config::new(&levels, &schemas);
        assert_eq!((config.levels.len(), config.schemas.len()), (8, 11));
        assert!(config.schemas.first().is_some_and(|first| first.name == EXEMPT));
        assert!(config.schemas.last().is_some_and(|last| last.name == CATCH_ALL));
    }
}
