//! Rules of network policies, service ranges and addresses.

use std::net::IpAddr;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{
    cidr, immutable, label_selector, no_subresource, not_among, parse_cidr, parse_ip, port_name_faults,
    port_number, required, subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, items, text};

pub(super) const POLICY: Rules = Rules {
    name: subdomain_name,
    create: policy,
    update: |gvk, new, _, errors| policy(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const SERVICE_CIDR: Rules = Rules {
    name: subdomain_name,
    create: service_cidr,
    update: service_cidr_update,
    subresource: no_subresource,
};
pub(super) const ADDRESS: Rules =
    Rules { name: address_name, create: address, update: address_update, subresource: no_subresource };

const SPEC: PathRef<'static> = PathRef::Root("spec");

fn policy(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    label_selector(&spec["podSelector"], &SPEC.child("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in items(&spec[direction]).iter().enumerate() {
            if enough(errors) {
                break;
            }
            let list = SPEC.child(direction);
            let path = list.index(at);
            for (at, port) in items(&rule["ports"]).iter().enumerate() {
                if enough(errors) {
                    break;
                }
                policy_port(port, &path.child("ports").index(at), errors);
            }
            for (at, peer) in items(&rule[peers]).iter().enumerate() {
                if enough(errors) {
                    break;
                }
                policy_peer(peer, &path.child(peers).index(at), errors);
            }
        }
    }
    let (types, path) = (&spec["policyTypes"], SPEC.child("policyTypes"));
    if items(types).len() > 2 {
        errors.push(FieldError::invalid(path, types.clone(), "may not specify more than two policyTypes"));
        return;
    }
    for (at, kind) in items(types).iter().enumerate() {
        if enough(errors) {
            break;
        }
        if !matches!(text(kind), "Ingress" | "Egress") {
            errors.push(not_among(path.index(at), text(kind), &["Ingress", "Egress"]));
        }
    }
}

fn policy_port(port: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let protocol = &port["protocol"];
    if !protocol.is_null() && !PROTOCOLS.contains(&text(protocol)) {
        errors.push(not_among(path.child("protocol"), text(protocol), &PROTOCOLS));
    }
    let end = &port["endPort"];
    let at = path.child("endPort");
    match &port["port"] {
        Value::Null if !end.is_null() => {
            errors.push(FieldError::invalid(
                at,
                end.clone(),
                "may not be specified when `port` is not specified",
            ));
        }
        Value::Null => {}
        Value::String(name) => {
            if !end.is_null() {
                let why = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(at, end.clone(), why));
            }
            wrong(name, port_name_faults(name), &path.child("port"), errors);
        }
        number => {
            port_number(number, &path.child("port"), errors);
            if end.is_null() {
                return;
            }
            if end.as_i64() < number.as_i64() {
                errors.push(FieldError::invalid(
                    at,
                    number.clone(),
                    "must be greater than or equal to `port`",
                ));
            }
            port_number(end, &at, errors);
        }
    }
}

fn policy_peer(peer: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let selectors = ["podSelector", "namespaceSelector"];
    for name in selectors {
        label_selector(&peer[name], &path.child(name), errors);
    }
    let block = &peer["ipBlock"];
    if block.is_object() {
        ip_block(block, &path.child("ipBlock"), errors);
    }
    let count = selectors.iter().filter(|name| !peer[**name].is_null()).count();
    if count == 0 && block.is_null() {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 0 && !block.is_null() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(block: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let at = path.child("cidr");
    if !required(&block["cidr"], "", &at, errors) {
        return;
    }
    let Some(whole) = cidr(text(&block["cidr"]), &at, errors) else { return };
    let list = path.child("except");
    for (at, except) in items(&block["except"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let Some(part) = cidr(text(except), &list.index(at), errors) else { continue };
        if !contains(whole, part.0) || whole.1 >= part.1 {
            errors.push(FieldError::invalid(
                list.index(at),
                except.clone(),
                "must be a strict subset of `cidr`",
            ));
        }
    }
}

/// The bits of an address, at the top of a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn contains(range: (IpAddr, u8), address: IpAddr) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(range.1)).unwrap_or(0);
    range.0.is_ipv4() == address.is_ipv4() && bits(range.0) & mask == bits(address) & mask
}

const ONE_EACH: &str =
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96";

fn service_cidr(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (list, path) = (&object["spec"]["cidrs"], SPEC.child("cidrs"));
    let all = items(list);
    if all.is_empty() {
        errors.push(FieldError::required(path, "at least one CIDR required"));
    } else if all.len() > 2 {
        errors.push(FieldError::invalid(path, list.clone(), "may only hold up to 2 values"));
    } else if let [Some(one), Some(other)] =
        [0, 1].map(|at| all.get(at).and_then(|range| parse_cidr(text(range))))
        && one.0.is_ipv4() == other.0.is_ipv4()
    {
        errors.push(FieldError::invalid(path, list.clone(), ONE_EACH));
    }
    for (at, range) in all.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let Some((address, length)) = cidr(text(range), &path.index(at), errors) else { continue };
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        if bits(address) & !mask & family_mask(address) != 0 {
            let why = format!("must not have bits set beyond the prefix length ({length})");
            errors.push(FieldError::invalid(path.index(at), text(range), why));
        }
    }
}

fn family_mask(address: IpAddr) -> u128 {
    if address.is_ipv4() { u128::MAX << 96 } else { u128::MAX }
}

fn service_cidr_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let (after, before) = (items(&new["spec"]["cidrs"]), items(&old["spec"]["cidrs"]));
    // One range may get a second of the other family.
    let grown = before.len() == 1 && after.len() == 2 && after[0] == before[0];
    if after != before && !grown {
        let why = "field is immutable";
        errors.push(FieldError::invalid("spec.cidrs", new["spec"]["cidrs"].clone(), why));
        return;
    }
    if grown {
        service_cidr(gvk, new, errors);
    }
}

fn address_name(name: &str, _: bool) -> Vec<String> {
    match parse_ip(name) {
        None => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        Some(parsed) if parsed.to_string() != name => {
            vec![format!("must be in canonical form (\"{parsed}\")")]
        }
        Some(_) => Vec::new(),
    }
}

fn address(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (parent, path) = (&object["spec"]["parentRef"], SPEC.child("parentRef"));
    if !required(parent, "", &path, errors) {
        return;
    }
    required(&parent["resource"], "", &path.child("resource"), errors);
    required(&parent["name"], "", &path.child("name"), errors);
}

fn address_update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    let parents = (&new["spec"]["parentRef"], &old["spec"]["parentRef"]);
    immutable(parents.0, parents.1, &SPEC.child("parentRef"), errors);
    if is_empty(parents.0) && !is_empty(parents.1) && errors.is_empty() {
        errors.push(FieldError::invalid(SPEC.child("parentRef"), json!(null), "field is immutable"));
    }
}
