//! Checks that many kinds share, in upstream's words.

use std::net::{IpAddr, Ipv4Addr};

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::pod::words::enough;
use super::{Errors, PathRef, metadata};
use crate::quantity::{self, Quantity};
use crate::value::{is_empty, items, same, text};

pub(crate) const NON_NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const POSITIVE: &str = "must be greater than zero";
pub(crate) const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// No rules of an object on its own.
pub(crate) fn nothing(_: &GroupVersionKind, _: &Value, _: &mut Errors) {}

/// No rules of a change.
pub(crate) fn no_change(_: &GroupVersionKind, _: &Value, _: &Value, _: &mut Errors) {}

/// No rules of what subresources write.
pub(crate) fn no_subresource(_: &GroupVersionKind, _: &str, _: &Value, _: &Value, _: &mut Errors) {}

/// A name that is a DNS subdomain.
pub(crate) fn subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_subdomain(&metadata::masked(name, prefix))
}

/// A name that is a DNS label.
pub(crate) fn label_name(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_label(&metadata::masked(name, prefix))
}

/// A name that is a DNS label as RFC 1035 has it.
pub(crate) fn label_1035_name(name: &str, prefix: bool) -> Vec<String> {
    names::dns1035_label(&metadata::masked(name, prefix))
}

/// A name that can stand in a path.
pub(crate) fn path_name(name: &str, prefix: bool) -> Vec<String> {
    if prefix {
        let unwanted = ["/", "%"].into_iter().filter(|part| name.contains(part));
        return unwanted.map(|part| format!("may not contain '{part}'")).collect();
    }
    names::path_segment(name)
}

/// Adds what is wrong with a value.
pub(crate) fn wrong(value: &str, found: Vec<String>, path: &PathRef<'_>, errors: &mut Errors) {
    errors.extend(found.into_iter().map(|why| FieldError::invalid(path, value, why)));
}

/// The value must be there and not be empty; says whether it is.
pub(crate) fn required(value: &Value, detail: &str, path: &PathRef<'_>, errors: &mut Errors) -> bool {
    let there = !is_empty(value);
    if !there {
        errors.push(FieldError::required(path, detail));
    }
    there
}

/// The value must be there, and be one of these.
pub(crate) fn required_one_of(value: &Value, known: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    if required(value, "", path, errors) {
        one_of(value, known, path, errors);
    }
}

/// The value must be one of these, if it is there.
pub(crate) fn one_of(value: &Value, known: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    if !value.is_null() && !known.contains(&text(value)) {
        errors.push(FieldError::not_supported(path, value.clone(), known));
    }
}

/// The number must not be below zero, if it is there.
pub(crate) fn non_negative(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if value.as_i64().is_some_and(|number| number < 0) {
        errors.push(FieldError::invalid(path, value.clone(), NON_NEGATIVE));
    }
}

/// The field may not change.
pub(crate) fn immutable(new: &Value, old: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if !same(new, old) {
        errors.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}

/// The number of a port.
pub(crate) fn port_number(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let number = value.as_i64().unwrap_or(0);
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(path, number, PORT_RANGE));
    }
}

/// What is wrong with the name of a port.
pub(crate) fn port_name_faults(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |holds: bool, why: &str| {
        if holds {
            faults.push(why.to_owned());
        }
    };
    fault(name.len() > 15, "must be no more than 15 characters");
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    fault(
        !name.bytes().all(known) || name.is_empty(),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    fault(!name.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    fault(name.contains("--"), "must not contain consecutive hyphens");
    fault(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    faults
}

/// A number or a name of a port.
pub(crate) fn port_number_or_name(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match value {
        Value::String(name) => wrong(name, port_name_faults(name), path, errors),
        value => port_number(value, path, errors),
    }
}

/// The address that a text is, in the strict form: no leading zeros, no zone.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// The value must be an address.
pub(crate) fn ip(value: &str, path: &PathRef<'_>, errors: &mut Errors) -> Option<IpAddr> {
    let parsed = parse_ip(value);
    if parsed.is_none() {
        errors.push(FieldError::invalid(path, value, NOT_AN_IP));
    }
    parsed
}

/// An address that pods can be reached at: none of the special ranges.
pub(crate) fn ordinary_ip(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    let Some(parsed) = parse_ip(value) else {
        errors.push(FieldError::invalid(path, value, "must be a valid IP address"));
        return;
    };
    let mut fault = |holds: bool, why: &str| {
        if holds {
            errors.push(FieldError::invalid(path, value, why));
        }
    };
    let (link_local, link_local_multicast) = match parsed {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == Ipv4Addr::new(224, 0, 0, 0).octets()[..3]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    fault(parsed.is_unspecified(), &format!("may not be unspecified ({value})"));
    fault(parsed.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    fault(link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    fault(link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

/// A range of addresses and its length.
pub(crate) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (address, bits) = (parse_ip(address)?, bits.parse::<u8>().ok()?);
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// The value must be a range of addresses.
pub(crate) fn cidr(value: &str, path: &PathRef<'_>, errors: &mut Errors) -> Option<(IpAddr, u8)> {
    let parsed = parse_cidr(value);
    if parsed.is_none() {
        errors.push(FieldError::invalid(path, value, NOT_A_CIDR));
    }
    parsed
}

/// A `LabelSelector`.
pub(crate) fn label_selector(selector: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    metadata::labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    let expressions = path.child("matchExpressions");
    for (at, requirement) in items(&selector["matchExpressions"]).iter().enumerate() {
        if enough(errors) {
            break;
        }
        if enough(errors) {
            return;
        }
        selector_requirement(requirement, &expressions.index(at), errors);
    }
}

fn selector_requirement(requirement: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let (values, list) = (path.child("values"), items(&requirement["values"]));
    match text(&requirement["operator"]) {
        "In" | "NotIn" if list.is_empty() => {
            errors.push(FieldError::required(values, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !list.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(values, why));
        }
        "Exists" | "DoesNotExist" => {}
        operator => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(path.child("operator"), operator, why));
        }
    }
    metadata::label_name(text(&requirement["key"]), &path.child("key"), errors);
    for (at, value) in list.iter().enumerate() {
        if enough(errors) {
            break;
        }
        wrong(text(value), names::label_value(text(value)), &values.index(at), errors);
    }
}

/// A quantity that is not below zero; none if it is malformed or absent.
pub(crate) fn non_negative_quantity(
    value: &Value,
    path: &PathRef<'_>,
    errors: &mut Errors,
) -> Option<Quantity> {
    let quantity = quantity::read(value)?;
    if quantity.is_negative() {
        errors.push(FieldError::invalid(path, quantity.to_string(), NON_NEGATIVE));
    }
    Some(quantity)
}

/// The bytes of a text in base64; none if it is malformed.
pub(crate) fn base64_len(value: &str) -> Option<usize> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(value).ok().map(|bytes| bytes.len())
}

/// What is wrong with a key of a config map or a secret.
pub(crate) fn config_key_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if key.len() > names::SUBDOMAIN_LEN_MAX {
        faults.push(format!("must be no more than {} characters", names::SUBDOMAIN_LEN_MAX));
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if key.is_empty() || !key.bytes().all(known) {
        faults.push(CONFIG_KEY.to_owned());
    }
    match key {
        "." => faults.push("must not be '.'".to_owned()),
        ".." => faults.push("must not be '..'".to_owned()),
        key if key.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults
}

const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
     (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// The value is none of these, which are shown in this order.
pub(crate) fn not_among(path: PathRef<'_>, value: &str, known: &[&str]) -> FieldError {
    let shown: Vec<_> = known.iter().map(|value| format!("{value:?}")).collect();
    let mut error = FieldError::not_supported(path, value, known);
    error.detail = format!("supported values: {}", shown.join(", "));
    error
}
