//! Rules of services.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{
    cidr, ip, label_1035_name, one_of, ordinary_ip, parse_ip, port_number, port_number_or_name, required,
    required_one_of, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules, metadata};
use crate::value::{is_empty, items, text};

pub(super) const SERVICE: Rules =
    Rules { name: label_1035_name, create: service, update: service_update, subresource: status };

const SPEC: PathRef<'static> = PathRef::Root("spec");
const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
const NOT_EXTERNAL: &str = "may not be set for ExternalName services";
const SET_ONCE: &str = "may not change once set";

fn is_headless(object: &Value) -> bool {
    let all = items(&object["spec"]["clusterIPs"]);
    all.len() == 1 && text(&all[0]) == "None"
}

fn service(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let kind = text(&spec["type"]);
    topology_mode(object, errors);
    if items(&spec["ports"]).is_empty() && !is_headless(object) && kind != "ExternalName" {
        errors.push(FieldError::required(SPEC.child("ports"), ""));
    }
    by_type(object, kind, errors);
    ports(spec, kind, errors);
    metadata::labels(&spec["selector"], &SPEC.child("selector"), errors);
    affinity(spec, errors);
    cluster_ips(object, errors);
    for (at, value) in items(&spec["externalIPs"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let all = SPEC.child("externalIPs");
        if ip(text(value), &all.index(at), errors).is_some() {
            ordinary_ip(text(value), &all.index(at), errors);
        }
    }
    required_one_of(&spec["type"], &TYPES, &SPEC.child("type"), errors);
    source_ranges(object, kind, errors);
    balancer_fields(spec, kind, errors);
    balancer_class(spec, kind, errors);
    traffic_policies(spec, kind, errors);
    one_of(&spec["trafficDistribution"], &DISTRIBUTIONS, &SPEC.child("trafficDistribution"), errors);
}

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameNode", "PreferSameZone"];

fn topology_mode(object: &Value, errors: &mut Errors) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let annotations = &object["metadata"]["annotations"];
    let (hints, mode) = (&annotations[HINTS], &annotations[MODE]);
    if hints.is_string() && mode.is_string() && hints != mode {
        let why = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(PathRef::Root("metadata.annotations").key(MODE), mode.clone(), why));
    }
}

fn by_type(object: &Value, kind: &str, errors: &mut Errors) {
    let spec = &object["spec"];
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(object) => {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(SPEC.child("clusterIPs").index(0), "None", why));
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !is_empty(&spec[name]) {
                    errors.push(FieldError::forbidden(SPEC.child(name), NOT_EXTERNAL));
                }
            }
            let name = text(&spec["externalName"]);
            let name = name.strip_suffix('.').unwrap_or(name);
            let path = SPEC.child("externalName");
            if name.is_empty() {
                errors.push(FieldError::required(path, ""));
            } else {
                wrong(name, names::dns1123_subdomain(name), &path, errors);
            }
        }
        _ => {}
    }
}

fn ports(spec: &Value, kind: &str, errors: &mut Errors) {
    let all = items(&spec["ports"]);
    let path = SPEC.child("ports");
    let mut known = BTreeSet::new();
    for (at, port) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        one_port(port, all.len() > 1, &mut known, &path.index(at), errors);
    }
    if kind == "ClusterIP" {
        for (at, _) in all.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
            if enough(errors) {
                break;
            }
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(path.index(at).child("nodePort"), why));
        }
    }
    let (mut nodes, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (at, port) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let number = node_port(port);
        if number != 0 && !nodes.insert((text(&port["protocol"]), number)) {
            errors.push(FieldError::duplicate(path.index(at).child("nodePort"), number));
        }
    }
    for (at, port) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !numbers.insert((text(&port["protocol"]), number)) {
            let shown = json!({"Name": "", "Protocol": port["protocol"], "AppProtocol": null, "Port": number,
                "TargetPort": 0, "NodePort": 0});
            errors.push(FieldError::duplicate(path.index(at), shown));
        }
    }
}

fn node_port(port: &Value) -> i64 {
    port["nodePort"].as_i64().unwrap_or(0)
}

fn one_port<'a>(
    port: &'a Value,
    must_have_name: bool,
    known: &mut BTreeSet<&'a str>,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let name = text(&port["name"]);
    if !name.is_empty() {
        wrong(name, names::dns1123_label(name), &path.child("name"), errors);
        if !known.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    } else if must_have_name {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    port_number(&port["port"], &path.child("port"), errors);
    required_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    port_number_or_name(&port["targetPort"], &path.child("targetPort"), errors);
    if let Some(name) = port["appProtocol"].as_str() {
        wrong(name, names::qualified_name(name), &path.child("appProtocol"), errors);
    }
}

fn affinity(spec: &Value, errors: &mut Errors) {
    required_one_of(&spec["sessionAffinity"], &["ClientIP", "None"], &SPEC.child("sessionAffinity"), errors);
    let path = SPEC.child("sessionAffinityConfig");
    let config = &spec["sessionAffinityConfig"];
    match text(&spec["sessionAffinity"]) {
        "ClientIP" => client_affinity(config, &path, errors),
        "None" if !config.is_null() => {
            errors.push(FieldError::forbidden(path, "must not be set when session affinity is None"));
        }
        _ => {}
    }
}

fn client_affinity(config: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    const MAX: i64 = 86_400;
    let why = "when session affinity type is ClientIP";
    let client = path.child("clientIP");
    let timeout = &config["clientIP"]["timeoutSeconds"];
    match () {
        () if config.is_null() => errors.push(FieldError::required(path, why)),
        () if config["clientIP"].is_null() => errors.push(FieldError::required(client, why)),
        () if timeout.is_null() => errors.push(FieldError::required(client.child("timeoutSeconds"), why)),
        () => {
            let seconds = timeout.as_i64().unwrap_or(0);
            if !(1..=MAX).contains(&seconds) {
                let why = format!("must be greater than 0 and less than {MAX}");
                errors.push(FieldError::invalid(client.child("timeoutSeconds"), seconds, why));
            }
        }
    }
}

/// Addresses, families and policy, each and together.
fn cluster_ips(object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    if text(&spec["type"]) == "ExternalName" {
        return;
    }
    let path = SPEC.child("clusterIPs");
    let (one, list) = (text(&spec["clusterIP"]), &spec["clusterIPs"]);
    let all = items(list);
    if !one.is_empty() && all.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !one.is_empty() && text(&all[0]) != one {
        errors.push(FieldError::invalid(path, list.clone(), "first value must match `clusterIP`"));
    } else if one.is_empty() && !all.is_empty() {
        let why = "must be empty when `clusterIP` is not specified";
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
    families(spec, errors);
    one_of(&spec["ipFamilyPolicy"], &POLICIES, &SPEC.child("ipFamilyPolicy"), errors);
    if !addresses(list, &path, errors) {
        return;
    }
    let v6 = |at: usize| parse_ip(text(&all[at])).is_some_and(|address| address.is_ipv6());
    if all.len() > 1 && (all.len() > 2 || v6(0) == v6(1)) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
    if is_headless(object) {
        return;
    }
    for (at, family) in items(&spec["ipFamilies"]).iter().enumerate().take(all.len()) {
        if enough(errors) {
            break;
        }
        let expected = text(family);
        if (expected == "IPv4" && v6(at)) || (expected == "IPv6" && !v6(at)) {
            let why = format!("expected an {expected} value as indicated by `ipFamilies[{at}]`");
            errors.push(FieldError::invalid(path.index(at), all[at].clone(), why));
        }
    }
}

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

fn families(spec: &Value, errors: &mut Errors) {
    let path = SPEC.child("ipFamilies");
    let mut seen = BTreeSet::new();
    for (at, family) in items(&spec["ipFamilies"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        one_of(family, &["IPv4", "IPv6"], &path.index(at), errors);
        if !seen.insert(text(family)) {
            errors.push(FieldError::duplicate(path.index(at), family.clone()));
        }
    }
}

/// Whether each is an address, or the only one is `None`.
fn addresses(list: &Value, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    let all = items(list);
    let mut good = true;
    for (at, value) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        if at == 0 && text(value) == "None" {
            if all.len() > 1 {
                good = false;
                errors.push(FieldError::invalid(
                    path,
                    list.clone(),
                    "'None' must be the first and only value",
                ));
            }
            continue;
        }
        good &= ip(text(value), &path.index(at), errors).is_some();
    }
    if all.len() > 2 {
        errors.push(FieldError::invalid(path, list.clone(), "may only hold up to 2 values"));
    }
    good
}

fn source_ranges(object: &Value, kind: &str, errors: &mut Errors) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let ranges = items(&object["spec"]["loadBalancerSourceRanges"]);
    let (field, annotations) =
        (SPEC.child("LoadBalancerSourceRanges"), PathRef::Root("metadata.annotations"));
    let noted = object["metadata"]["annotations"][ANNOTATION].as_str();
    let path = if ranges.is_empty() { annotations.key(ANNOTATION) } else { field };
    if ranges.is_empty() && noted.is_none() {
        return;
    }
    if kind != "LoadBalancer" {
        errors.push(FieldError::forbidden(path, ONLY_BALANCED));
    }
    for (at, range) in ranges.iter().enumerate() {
        if enough(errors) {
            break;
        }
        cidr(text(range).trim(), &path.index(at), errors);
    }
    let noted = noted.filter(|noted| ranges.is_empty() && !noted.trim().is_empty()).unwrap_or_default();
    for range in noted.split(',').filter(|range| !range.is_empty()) {
        cidr(range.trim(), &path, errors);
    }
}

fn balancer_fields(spec: &Value, kind: &str, errors: &mut Errors) {
    const NAME: &str = "allocateLoadBalancerNodePorts";
    if kind == "LoadBalancer" && spec[NAME].is_null() {
        errors.push(FieldError::required(NAME, ""));
    } else if kind != "LoadBalancer" && !spec[NAME].is_null() {
        errors.push(FieldError::forbidden(SPEC.child(NAME), ONLY_BALANCED));
    }
}

fn balancer_class(spec: &Value, kind: &str, errors: &mut Errors) {
    let path = SPEC.child("loadBalancerClass");
    let Some(class) = spec["loadBalancerClass"].as_str() else { return };
    if kind == "LoadBalancer" {
        wrong(class, names::qualified_name(class), &path, errors);
    } else {
        errors.push(FieldError::forbidden(path, ONLY_BALANCED));
    }
}

fn needs_health_check(spec: &Value) -> bool {
    text(&spec["type"]) == "LoadBalancer" && text(&spec["externalTrafficPolicy"]) == "Local"
}

fn traffic_policies(spec: &Value, kind: &str, errors: &mut Errors) {
    let known = ["Cluster", "Local"];
    let external = SPEC.child("externalTrafficPolicy");
    let reachable = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !items(&spec["externalIPs"]).is_empty());
    let policy = &spec["externalTrafficPolicy"];
    if reachable {
        required_one_of(policy, &known, &external, errors);
    } else if !is_empty(policy) {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(external, policy.clone(), why));
    }
    let port = &spec["healthCheckNodePort"];
    let path = SPEC.child("healthCheckNodePort");
    let number = port.as_i64().unwrap_or(0);
    match (needs_health_check(spec), number) {
        (true, 0) => errors.push(FieldError::required(path, "")),
        (true, _) => port_number(port, &path, errors),
        (false, 0) => {}
        (false, _) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(path, number, why));
        }
    }
    let internal = SPEC.child("internalTrafficPolicy");
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        required(&spec["internalTrafficPolicy"], "", &internal, errors);
    }
    one_of(&spec["internalTrafficPolicy"], &known, &internal, errors);
}

fn service_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let (after, before) = (&new["spec"], &old["spec"]);
    let external = |spec: &Value| text(&spec["type"]) == "ExternalName";
    if !external(after) && !external(before) {
        let (now, then) = (is_headless(new), is_headless(old));
        if !(now && then) {
            changed_list(after, before, "clusterIPs", "clusterIP", errors);
        }
        if !now && !then {
            changed_list(after, before, "ipFamilies", "ipFamily", errors);
        }
    }
    let both = text(&after["type"]) == "LoadBalancer" && text(&before["type"]) == "LoadBalancer";
    if both && after["loadBalancerClass"] != before["loadBalancerClass"] {
        let class = after["loadBalancerClass"].clone();
        errors.push(FieldError::invalid(SPEC.child("loadBalancerClass"), class, SET_ONCE));
    }
    let same_port = after["healthCheckNodePort"] == before["healthCheckNodePort"];
    if needs_health_check(after) && needs_health_check(before) && !same_port {
        errors.push(FieldError::forbidden(SPEC.child("healthCheckNodePort"), "field is immutable"));
    }
    service(gvk, new, errors);
}

/// The first of the list is for good; a second may come, and go with a policy that says so.
fn changed_list(after: &Value, before: &Value, list: &str, one: &str, errors: &mut Errors) {
    let path = SPEC.child(list);
    let (new, old) = (items(&after[list]), items(&before[list]));
    let mut fault = |at: usize, why: String| {
        errors.push(FieldError::invalid(path.index(at), Value::Array(new.to_vec()), why));
    };
    if new.len() == old.len() {
        for at in (0..new.len()).filter(|at| new[*at] != old[*at]) {
            fault(if list == "clusterIPs" { at } else { 0 }, SET_ONCE.to_owned());
        }
        return;
    }
    let shrunk = new.len() < old.len();
    if shrunk && new.is_empty() {
        fault(0, format!("primary {one} can not be unset"));
    }
    if let (Some(first), Some(known)) = (new.first(), old.first())
        && first != known
    {
        fault(0, SET_ONCE.to_owned());
    }
    if shrunk && new.len() == 1 && text(&after["ipFamilyPolicy"]) != "SingleStack" {
        let why = format!("must be set to 'SingleStack' when releasing the secondary {one}");
        let policy = after["ipFamilyPolicy"].clone();
        errors.push(FieldError::invalid(SPEC.child("ipFamilyPolicy"), policy, why));
    }
}

fn status(_: &GroupVersionKind, subresource: &str, new: &Value, _: &Value, errors: &mut Errors) {
    if subresource == "status" {
        let path = PathRef::Root("status.loadBalancer");
        balancer_status(&new["status"]["loadBalancer"], &path, errors);
    }
}

/// The addresses that a load balancer got.
pub(super) fn balancer_status(status: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let all = path.child("ingress");
    for (at, ingress) in items(&status["ingress"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = all.index(at);
        let (address, host) = (text(&ingress["ip"]), text(&ingress["hostname"]));
        if !address.is_empty() {
            ip(address, &path.child("ip"), errors);
        }
        let mode = &ingress["ipMode"];
        if !mode.is_null() && address.is_empty() {
            errors.push(FieldError::forbidden(
                path.child("ipMode"),
                "may not be specified when `ip` is not set",
            ));
        } else {
            one_of(mode, &["Proxy", "VIP"], &path.child("ipMode"), errors);
        }
        if !host.is_empty() {
            wrong(host, names::dns1123_subdomain(host), &path.child("hostname"), errors);
            if parse_ip(host).is_some() {
                let why = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(path.child("hostname"), host, why));
            }
        }
    }
}
