//! Rules of endpoints and endpoint slices.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::{
    immutable, ip, no_subresource, one_of, ordinary_ip, parse_ip, port_number, required, required_one_of,
    subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules, metadata};
use crate::value::{is_empty, items, text};

pub(super) const ENDPOINTS: Rules = Rules {
    name: subdomain_name,
    create: endpoints,
    update: |gvk, new, _, errors| endpoints(gvk, new, errors),
    subresource: no_subresource,
};
pub(super) const SLICE: Rules =
    Rules { name: subdomain_name, create: slice, update: slice_update, subresource: no_subresource };

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

fn endpoints(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let subsets = PathRef::Root("subsets");
    for (at, subset) in items(&object["subsets"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = subsets.index(at);
        if is_empty(&subset["addresses"]) && is_empty(&subset["notReadyAddresses"]) {
            errors.push(FieldError::required(path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for list in ["addresses", "notReadyAddresses"] {
            for (at, address) in items(&subset[list]).iter().enumerate() {
                if enough(errors) {
                    break;
                }
                endpoint_address(address, &path.child(list).index(at), errors);
            }
        }
        let ports = items(&subset["ports"]);
        for (at, port) in ports.iter().enumerate() {
            if enough(errors) {
                break;
            }
            endpoint_port(port, ports.len() > 1, &path.child("ports").index(at), errors);
        }
    }
}

fn endpoint_address(address: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let value = text(&address["ip"]);
    ip(value, &path.child("ip"), errors);
    let host = text(&address["hostname"]);
    if !host.is_empty() {
        wrong(host, names::dns1123_label(host), &path.child("hostname"), errors);
    }
    if let Some(node) = address["nodeName"].as_str() {
        wrong(node, names::dns1123_subdomain(node), &path.child("nodeName"), errors);
    }
    ordinary_ip(value, &path.child("ip"), errors);
}

fn endpoint_port(port: &Value, must_have_name: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let name = text(&port["name"]);
    if !name.is_empty() {
        wrong(name, names::dns1123_label(name), &path.child("name"), errors);
    } else if must_have_name {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    port_number(&port["port"], &path.child("port"), errors);
    required_one_of(&port["protocol"], &PROTOCOLS, &path.child("protocol"), errors);
    if let Some(name) = port["appProtocol"].as_str() {
        wrong(name, names::qualified_name(name), &path.child("appProtocol"), errors);
    }
}

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ZONES_MAX: usize = 8;

fn slice(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    required_one_of(&object["addressType"], &ADDRESS_TYPES, &PathRef::Root("addressType"), errors);
    let list = items(&object["endpoints"]);
    let path = PathRef::Root("endpoints");
    if list.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(path, list.len(), ENDPOINTS_MAX));
    } else {
        for (at, endpoint) in list.iter().enumerate() {
            if enough(errors) {
                break;
            }
            slice_endpoint(endpoint, text(&object["addressType"]), &path.index(at), errors);
        }
    }
    slice_ports(&object["ports"], &PathRef::Root("ports"), errors);
}

fn slice_endpoint(endpoint: &Value, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let addresses = path.child("addresses");
    let list = items(&endpoint["addresses"]);
    if list.is_empty() {
        errors.push(FieldError::required(addresses, "must contain at least 1 address"));
    } else if list.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(addresses, list.len(), ADDRESSES_MAX));
    }
    for (at, address) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        slice_address(text(address), kind, &addresses.index(at), errors);
    }
    if let Some(node) = endpoint["nodeName"].as_str() {
        wrong(node, names::dns1123_subdomain(node), &path.child("nodeName"), errors);
    }
    metadata::labels(&endpoint["deprecatedTopology"], &path.child("deprecatedTopology"), errors);
    if let Some(host) = endpoint["hostname"].as_str() {
        wrong(host, names::dns1123_label(host), &path.child("hostname"), errors);
    }
    let hints = path.child("hints");
    let zones = hints.child("forZones");
    let list = items(&endpoint["hints"]["forZones"]);
    if list.len() > ZONES_MAX {
        errors.push(FieldError::too_many(zones, list.len(), ZONES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (at, zone) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let name = text(&zone["name"]);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(zones.index(at).child("name"), name));
        }
        wrong(name, names::label_value(name), &zones.index(at).child("name"), errors);
    }
}

fn slice_address(address: &str, kind: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let mut of_family = |v4: bool, why: &str| {
        if ip(address, path, errors).is_some() {
            ordinary_ip(address, path, errors);
        }
        if parse_ip(address).is_none_or(|parsed| matches!(parsed, IpAddr::V4(_)) != v4) {
            errors.push(FieldError::invalid(path, address, why));
        }
    };
    match kind {
        "IPv4" => of_family(true, "must be an IPv4 address"),
        "IPv6" => of_family(false, "must be an IPv6 address"),
        "FQDN" => fully_qualified(address, path, errors),
        _ => {}
    }
}

/// A name of several labels.
pub(super) fn fully_qualified(name: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let faults = names::dns1123_subdomain(name);
    let few = !name.contains('.') && faults.is_empty();
    wrong(name, faults, path, errors);
    if few {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, name, why));
    }
    for label in name.split('.').filter(|label| label.len() > names::LABEL_LEN_MAX) {
        errors.push(FieldError::invalid(
            path,
            label,
            format!("must be no more than {} characters", names::LABEL_LEN_MAX),
        ));
    }
}

fn slice_ports(ports: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let list = items(ports);
    if list.len() > PORTS_MAX {
        errors.push(FieldError::too_many(path, list.len(), PORTS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, port) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        let path = path.index(at);
        let name = text(&port["name"]);
        if !name.is_empty() {
            wrong(name, names::dns1123_label(name), &path.child("name"), errors);
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        if required(&port["protocol"], "", &path.child("protocol"), errors) {
            one_of(&port["protocol"], &PROTOCOLS, &path.child("protocol"), errors);
        }
        if let Some(name) = port["appProtocol"].as_str() {
            wrong(name, names::qualified_name(name), &path.child("appProtocol"), errors);
        }
    }
}

fn slice_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    slice(gvk, new, errors);
    immutable(&new["addressType"], &old["addressType"], &PathRef::Root("addressType"), errors);
}
