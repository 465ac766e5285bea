//! Ports, names and addresses of a pod.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::words;
use crate::validation::{Errors, PathRef, common};
use crate::value::{items, text};

/// Ports of one container.
pub(super) fn ports(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (at, port) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let name = text(&port["name"]);
        if !name.is_empty() {
            let wrong = common::port_name_faults(name);
            let at = at.child("name");
            if !wrong.is_empty() {
                words::faults(wrong, name, &at, errors);
            } else if !names.insert(name) {
                errors.push(FieldError::duplicate(at, name));
            }
        }
        if port["containerPort"].as_i64().unwrap_or(0) == 0 {
            errors.push(FieldError::required(at.child("containerPort"), ""));
        } else {
            common::port_number(&port["containerPort"], &at.child("containerPort"), errors);
        }
        if port["hostPort"].as_i64().is_some_and(|number| number != 0) {
            common::port_number(&port["hostPort"], &at.child("hostPort"), errors);
        }
        words::one_of(&port["protocol"], &PROTOCOLS, &at.child("protocol"), errors);
    }
}

/// Protocols of ports.
pub(in crate::validation) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// No port of the host may be taken twice by containers that run at once.
pub(super) fn host_ports(containers: &[Value], path: &PathRef<'_>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let at = path.index(at);
        let list = at.child("ports");
        for (index, port) in items(&container["ports"]).iter().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            if number == 0 || words::enough(errors) {
                continue;
            }
            let key = (text(&port["protocol"]), text(&port["hostIP"]), number);
            if !taken.insert(key) {
                let shown = format!("{}/{}/{}", key.0, key.1, key.2);
                errors.push(FieldError::duplicate(list.index(index).child("hostPort"), shown));
            }
        }
    }
}

/// In the host's network a port has the same number on both sides.
pub(super) fn host_network(spec: &Value, is_pod: bool, path: &PathRef<'_>, errors: &mut Errors) {
    if spec["hostNetwork"].as_bool() != Some(true) {
        return;
    }
    let list = path.child("containers");
    for (at, container) in items(&spec["containers"]).iter().enumerate() {
        let at = list.index(at);
        let ports = at.child("ports");
        for (index, port) in items(&container["ports"]).iter().enumerate() {
            let host = port["hostPort"].as_i64().unwrap_or(0);
            let inside = port["containerPort"].as_i64().unwrap_or(0);
            if (is_pod || host != 0) && host != inside && !words::enough(errors) {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(ports.index(index).child("hostPort"), host, why));
            }
        }
    }
}

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_LEN_MAX: usize = 2048;

/// `PodDNSConfig`, which a pod without a policy for names must have.
pub(super) fn dns(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let config = &spec["dnsConfig"];
    let servers = items(&config["nameservers"]);
    let servers_at = path.child("nameservers");
    if spec["dnsPolicy"] == "None" {
        if config.is_null() {
            errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(servers_at, why));
            return;
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        let why = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(servers_at, config["nameservers"].clone(), why));
    }
    for (at, server) in servers.iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        words::ip(text(server), &servers_at.index(at), errors);
    }
    searches(&config["searches"], &path.child("searches"), errors);
    let options = path.child("options");
    for (at, option) in items(&config["options"]).iter().enumerate() {
        if text(&option["name"]).is_empty() && !words::enough(errors) {
            errors.push(FieldError::required(options.index(at), "must not be empty"));
        }
    }
}

fn searches(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let searches = items(list);
    if searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
    let len = searches.iter().map(|search| text(search).len() + 1).sum::<usize>().saturating_sub(1);
    if len > SEARCHES_LEN_MAX {
        let why = format!(
            "must not have more than {SEARCHES_LEN_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
    for (at, search) in searches.iter().map(text).enumerate() {
        if words::enough(errors) {
            return;
        }
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            words::faults(search_domain(search), search, &path.index(at), errors);
        }
    }
}

/// A DNS subdomain in which labels may have underscores, as names of services have.
fn search_domain(name: &str) -> Vec<String> {
    let end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        label.bytes().next().is_some_and(end)
            && label.bytes().next_back().is_some_and(end)
            && label.bytes().all(|byte| end(byte) || byte == b'-' || byte == b'_')
    };
    let mut wrong = Vec::new();
    if name.len() > kube_object::names::SUBDOMAIN_LEN_MAX {
        wrong.push(format!("must be no more than {} characters", kube_object::names::SUBDOMAIN_LEN_MAX));
    }
    if !name.split('.').all(label) {
        wrong.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    wrong
}

/// Lines for the hosts file.
pub(super) fn host_aliases(list: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for (at, alias) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        words::ip(text(&alias["ip"]), &at.child("ip"), errors);
        let names = at.child("hostnames");
        for (index, name) in items(&alias["hostnames"]).iter().enumerate() {
            if words::enough(errors) {
                break;
            }
            words::subdomain(text(name), &names.index(index), errors);
        }
    }
}

/// What the pod calls itself.
pub(super) fn host_name(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    for member in ["hostname", "subdomain"] {
        let name = text(&spec[member]);
        if !name.is_empty() {
            words::label(name, &path.child(member), errors);
        }
    }
}

/// The host name in place of all others.
pub(super) fn host_name_override(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(name) = spec["hostnameOverride"].as_str() else { return };
    let at = path.child("hostnameOverride");
    for (member, why) in [
        ("setHostnameAsFQDN", "may not be specified when setHostnameAsFQDN is true"),
        ("hostNetwork", "may not be specified when hostNetwork is true"),
    ] {
        if spec[member].as_bool() == Some(true) {
            errors.push(FieldError::forbidden(at, why));
        }
    }
    if name.len() > 64 {
        errors.push(FieldError::too_long(at, 64));
    }
    words::subdomain(name, &at, errors);
}
