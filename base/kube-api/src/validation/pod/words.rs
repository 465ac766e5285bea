//! Checks of single values: numbers, names of ports and variables, paths, addresses, selectors.

use std::net::IpAddr;

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

pub(in crate::validation) use crate::validation::common::label_selector as selector;
use crate::validation::{Errors, PathRef, common};
use crate::value::text;

/// Each of `wrong` is a fault of the text.
pub(in crate::validation) fn faults(
    wrong: Vec<String>,
    value: &str,
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, value, why)));
}

/// The text must be a DNS label.
pub(in crate::validation) fn label(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    faults(names::dns1123_label(value), value, path, errors);
}

/// The text must be a DNS subdomain.
pub(in crate::validation) fn subdomain(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    faults(names::dns1123_subdomain(value), value, path, errors);
}

/// The text must be a qualified name, such as a label's key.
pub(in crate::validation) fn qualified(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    faults(names::qualified_name(value), value, path, errors);
}

/// The members must be there and not empty.
pub(in crate::validation) fn needs(
    object: &Value,
    members: &[&str],
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    for name in members {
        if text(&object[*name]).is_empty() {
            errors.push(FieldError::required(path.child(name), ""));
        }
    }
}

/// The text must be there and one of those known.
pub(in crate::validation) fn one_of(value: &Value, known: &[&str], path: &PathRef<'_>, errors: &mut Errors) {
    required_of(value, known, FieldError::not_supported, path, errors);
}

/// The text must be there and one of those listed, which are shown in the list's order.
pub(in crate::validation) fn one_listed(
    value: &Value,
    list: &[&str],
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    required_of(value, list, FieldError::not_listed, path, errors);
}

fn required_of<'a>(
    value: &'a Value,
    known: &[&str],
    refusal: fn(&'a PathRef<'a>, &'a str, &[&str]) -> FieldError,
    path: &'a PathRef<'a>,
    errors: &mut Errors,
) {
    let value = text(value);
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !known.contains(&value) {
        errors.push(refusal(path, value, known));
    }
}

/// The text must be one of those known if it is there at all.
pub(in crate::validation) fn if_set_one_of(
    value: &Value,
    known: &[&str],
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    if !value.is_null() {
        known_text(text(value), known, path, errors);
    }
}

/// The text must be one of those known; an empty one is unknown too.
pub(in crate::validation) fn known_text(
    value: &str,
    known: &[&str],
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    if !known.contains(&value) {
        errors.push(FieldError::not_supported(path, value, known));
    }
}

/// The number may not be less than 0.
pub(in crate::validation) fn nonnegative(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if value.as_i64().is_some_and(|number| number < 0) {
        errors.push(FieldError::invalid(path, value.clone(), NEGATIVE));
    }
}

/// The number must lie between the two, inclusive.
pub(in crate::validation) fn within(
    value: &Value,
    (low, high): (i64, i64),
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    if value.as_i64().is_some_and(|number| number < low || number > high) {
        let why = format!("must be between {low} and {high}, inclusive");
        errors.push(FieldError::invalid(path, value.clone(), why));
    }
}

/// A port's number or name; none is as good as 0.
pub(in crate::validation) fn port(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    common::port_number_or_name(value, path, errors);
}

/// What is wrong with the name of an environment variable.
pub(in crate::validation) fn variable_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if name.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || byte == b'=') {
        let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        wrong.push(why.to_owned());
    }
    wrong
}

/// What is wrong with the name of an HTTP header.
pub(in crate::validation) fn header_name(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    vec![
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
         validation is '[-A-Za-z0-9]+')"
            .to_owned(),
    ]
}

/// An IP address.
pub(in crate::validation) fn ip(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if read_ip(value).is_none() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(path, value, why));
    }
}

/// An IP address as older clients write it: leading zeros in IPv4 are no fault.
pub(in crate::validation) fn read_ip(value: &str) -> Option<IpAddr> {
    if let Ok(address) = value.parse() {
        return Some(address);
    }
    let mut octets = [0; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| IpAddr::from(octets))
}

/// A path that stays below where it starts.
pub(in crate::validation) fn descending_path(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(value, path, errors);
}

/// A path without a `..` in it.
pub(in crate::validation) fn no_backsteps(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// A path below where it starts, whose first name does not begin with the dots that are reserved.
pub(in crate::validation) fn unreserved_path(value: &str, path: &PathRef<'_>, errors: &mut Errors) {
    descending_path(value, path, errors);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(FieldError::invalid(path, value, "must not start with '..'"));
    }
}

/// A file's mode.
pub(in crate::validation) fn file_mode(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if value.as_i64().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(path, value.clone(), why));
    }
}

/// A user's or a group's number.
pub(in crate::validation) fn id(value: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    within(value, (0, i64::from(i32::MAX)), path, errors);
}

/// The operator of a requirement, and how many values it wants.
pub(super) fn operator(
    expression: &Value,
    values: &[Value],
    known: &[&str],
    path: &PathRef<'_>,
    errors: &mut Errors,
) {
    let name = text(&expression["operator"]);
    let at = path.child("values");
    match name {
        _ if !known.contains(&name) => {
            errors.push(FieldError::invalid(path.child("operator"), name, "not a valid selector operator"));
        }
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(at, why));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(at, why));
        }
        _ => {}
    }
}

/// Whether so much is wrong that looking further serves nobody: a hostile list ends here.
pub(in crate::validation) fn enough(errors: &Errors) -> bool {
    errors.len() >= ERRORS_MAX
}

/// As many faults are reported at least, if there are as many.
const ERRORS_MAX: usize = 1000;

/// What is said of a number that is less than 0.
pub(in crate::validation) const NEGATIVE: &str = common::NON_NEGATIVE;
/// What is said of a number that must be more than 0.
pub(in crate::validation) const NOT_POSITIVE: &str = common::POSITIVE;
