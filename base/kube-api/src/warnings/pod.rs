//! Warnings about pods and their templates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fraction;
use crate::validation::PathRef;
use crate::value::{items, members, text};

/// What stands in a pod or a template of pods.
pub(super) fn template(template: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    let at = path.child("spec");
    placement(spec, &at, found);
    annotations(meta, path, found);
    for (number, volume) in items(&spec["volumes"]).iter().enumerate() {
        old_volumes(volume, &at.child("volumes").index(number), found);
    }
    repeated(spec, &at, found);
    for resource in ["memory", "ephemeral-storage"] {
        fraction(&spec["overhead"][resource], &at.child("overhead").key(resource), found);
    }
    for list in CONTAINERS {
        for (number, container) in items(&spec[list]).iter().enumerate() {
            let list = at.child(list);
            of_container(container, meta, spec, path, &list.index(number), found);
        }
    }
    ports(spec, &at, found);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        found.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            at.child("terminationGracePeriodSeconds")
        ));
    }
    affinity(spec, &at, found);
}

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// What to use instead of a label that nodes had in the beginning.
fn old_node_label(label: &str) -> Option<String> {
    let (since, instead) = match label {
        "beta.kubernetes.io/arch" => (14, "kubernetes.io/arch"),
        "beta.kubernetes.io/os" => (14, "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region" => (17, "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone" => (17, "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type" => (17, "node.kubernetes.io/instance-type"),
        _ => return None,
    };
    Some(format!("deprecated since v1.{since}; use {instead:?} instead"))
}

/// Labels of nodes that must be there.
pub(super) fn node_selector(selector: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    for (label, _) in members(selector) {
        if let Some(why) = old_node_label(label) {
            found.push(format!("{}: {why}", path.key(label)));
        }
    }
}

/// A term of a node selector.
pub(super) fn selector_term(term: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let list = path.child("matchExpressions");
    for (at, expression) in items(&term["matchExpressions"]).iter().enumerate() {
        let key = text(&expression["key"]);
        if let Some(why) = old_node_label(key) {
            found.push(format!("{}: {key} is {why}", list.index(at).child("key")));
        }
    }
}

fn placement(spec: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    node_selector(&spec["nodeSelector"], &path.child("nodeSelector"), found);
    let affinity = path.child("affinity");
    let (nodes, node_path) = (&spec["affinity"]["nodeAffinity"], affinity.child("nodeAffinity"));
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let required = node_path.child(REQUIRED);
    let terms = required.child("nodeSelectorTerms");
    for (at, term) in items(&nodes[REQUIRED]["nodeSelectorTerms"]).iter().enumerate() {
        selector_term(term, &terms.index(at), found);
    }
    let preferred = node_path.child(PREFERRED);
    for (at, term) in items(&nodes[PREFERRED]).iter().enumerate() {
        selector_term(&term["preference"], &preferred.index(at).child("preference"), found);
    }
    let spread = path.child("topologySpreadConstraints");
    for (at, constraint) in items(&spec["topologySpreadConstraints"]).iter().enumerate() {
        let key = text(&constraint["topologyKey"]);
        if let Some(why) = old_node_label(key) {
            found.push(format!("{}: {key} is {why}", spread.index(at).child("topologyKey")));
        }
        null_selector(&constraint["labelSelector"], &spread.index(at).child("labelSelector"), found);
    }
}

fn null_selector(selector: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    if selector.is_null() {
        found.push(format!("{path}: a null labelSelector results in matching no pod"));
    }
}

fn affinity(spec: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let affinity = path.child("affinity");
    for part in ["podAffinity", "podAntiAffinity"] {
        let (terms, part_path) = (&spec["affinity"][part], affinity.child(part));
        let list = part_path.child("requiredDuringSchedulingIgnoredDuringExecution");
        for (at, term) in items(&terms["requiredDuringSchedulingIgnoredDuringExecution"]).iter().enumerate() {
            null_selector(&term["labelSelector"], &list.index(at).child("labelSelector"), found);
        }
        let list = part_path.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (at, term) in items(&terms["preferredDuringSchedulingIgnoredDuringExecution"]).iter().enumerate()
        {
            let path = list.index(at);
            let path = path.child("podAffinityTerm");
            null_selector(&term["podAffinityTerm"]["labelSelector"], &path.child("labelSelector"), found);
        }
    }
}

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const APPARMOR: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";

fn annotations(meta: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let metadata = path.child("metadata");
    let at = metadata.child("annotations");
    for (annotation, why) in ANNOTATIONS {
        if !meta["annotations"][annotation].is_null() {
            found.push(format!("{}: {why}", at.key(annotation)));
        }
    }
}

/// Kinds of volumes that are gone or going.
pub(super) fn old_volumes(volume: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    for (kind, why) in [
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("gitRepo", "deprecated in v1.11"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ] {
        if !volume[kind].is_null() {
            let shown = if kind == "storageos" { "storageOS" } else { kind };
            found.push(format!("{}: {why}", path.child(shown)));
        }
    }
}

/// Aliases of hosts and pull secrets that stand twice.
fn repeated(spec: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = BTreeSet::new();
        for (at, item) in items(&spec[list]).iter().enumerate() {
            let value = text(&item[field]);
            if !seen.insert(value) {
                let list = path.child(list);
                found.push(format!("{}: duplicate {field} {value:?}", list.index(at).child(field)));
            }
        }
    }
    let list = path.child("imagePullSecrets");
    for (at, _) in
        items(&spec["imagePullSecrets"]).iter().enumerate().filter(|(_, one)| text(&one["name"]).is_empty())
    {
        found.push(format!("{}: invalid empty name \"\"", list.index(at).child("name")));
    }
}

fn of_container(
    container: &Value,
    meta: &Value,
    spec: &Value,
    template: &PathRef<'_>,
    path: &PathRef<'_>,
    found: &mut Vec<String>,
) {
    let own = &container["securityContext"];
    let annotated = |prefix: &str| format!("{prefix}{}", text(&container["name"]));
    let metadata = template.child("metadata");
    let at = metadata.child("annotations");
    let seccomp = annotated("container.seccomp.security.alpha.kubernetes.io/");
    if own["seccompProfile"].is_null() && !meta["annotations"][seccomp.as_str()].is_null() {
        found.push(format!("{}: {SECCOMP}", at.key(&seccomp)));
    }
    let apparmor = annotated("container.apparmor.security.beta.kubernetes.io/");
    let named = !own["appArmorProfile"].is_null() || !spec["securityContext"]["appArmorProfile"].is_null();
    if !named && !meta["annotations"][apparmor.as_str()].is_null() {
        found.push(format!("{}: {APPARMOR}", at.key(&apparmor)));
    }
    let resources = path.child("resources");
    for resource in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            let amount = &container["resources"][list][resource];
            fraction(amount, &resources.child(list).key(resource), found);
        }
    }
    environment(container, path, found);
}

fn environment(container: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let list = path.child("env");
    let mut seen = BTreeSet::new();
    for (at, variable) in items(&container["env"]).iter().enumerate() {
        let name = text(&variable["name"]);
        if seen.insert(name) {
            continue;
        }
        // The later one may build on the earlier one.
        let (value, reference) = (text(&variable["value"]), format!("$({name})"));
        if !variable["valueFrom"].is_null() || value == reference || !value.contains(&reference) {
            found.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                list.index(at)
            ));
        }
    }
}

/// Ports of a pod that are declared twice.
fn ports(spec: &Value, path: &PathRef<'_>, found: &mut Vec<String>) {
    let mut known: BTreeMap<(i64, &str), Vec<(String, &Value)>> = BTreeMap::new();
    for list in CONTAINERS {
        let list_path = path.child(list);
        for (at, container) in items(&spec[list]).iter().enumerate() {
            let container_path = list_path.index(at);
            let ports = container_path.child("ports");
            for (at, port) in items(&container["ports"]).iter().enumerate() {
                let key = (port["containerPort"].as_i64().unwrap_or(0), text(&port["protocol"]));
                let others = known.entry(key).or_default();
                for (field, other) in others.iter() {
                    if let Some(how) = clash(port, other) {
                        found.push(format!("{}: {how} port definition with {field}", ports.index(at)));
                    }
                }
                others.push((ports.index(at).to_string(), port));
            }
        }
    }
}

fn clash(port: &Value, other: &Value) -> Option<&'static str> {
    let number = |port: &Value| port["hostPort"].as_i64().unwrap_or(0);
    let (own, others) = (text(&port["hostIP"]), text(&other["hostIP"]));
    match () {
        () if own == others && number(port) == number(other) => Some("duplicate"),
        () if number(port) == 0 || number(other) == 0 => Some("overlapping"),
        () if number(port) == number(other) && own.is_empty() != others.is_empty() => {
            Some("dangerously ambiguous")
        }
        () => None,
    }
}
