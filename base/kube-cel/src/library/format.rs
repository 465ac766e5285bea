//! Formats with names: `format.dns1123Label().validate('a-b')`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::names as rules;

use super::{Opaque, Result, opaque, time, url};
use crate::error::EvalError;
use crate::val::Val;

/// A format.
#[derive(Debug)]
pub struct Format {
    function: &'static str,
    pub(super) name: &'static str,
    check: fn(&str) -> Vec<String>,
    /// The length of an expression that does the same, for costs.
    pub(super) regex_size: u64,
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let name = match (name, args) {
        ("format.named", [Val::Text(name)]) => {
            let found = FORMATS.iter().find(|format| format.function == name.as_str());
            let found = found.map(|format| opaque(Opaque::Format(format)).into());
            return Some(Ok(Val::Optional(found)));
        }
        (name, []) => name.strip_prefix("format.")?,
        _ => return None,
    };
    let format = FORMATS.iter().find(|format| format.function == name)?;
    Some(Ok(opaque(Opaque::Format(format))))
}

impl Format {
    /// A member function.
    pub(super) fn call<'a>(&self, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
        let ("validate", [Val::Text(text)]) = (name, args) else { return None };
        let text = text.as_str();
        if text.len() > TEXT_MAX {
            return Some(Err(EvalError::Cost));
        }
        let wrong = (self.check)(text);
        if wrong.is_empty() {
            return Some(Ok(Val::Optional(None)));
        }
        Some(Ok(Val::some(Val::list(wrong.into_iter().map(Val::string).collect()))))
    }
}

fn prefix(text: &str, check: fn(&str) -> Vec<String>) -> Vec<String> {
    check(&rules::mask_trailing_dash(text))
}

fn unless(good: bool, why: &str) -> Vec<String> {
    if good { Vec::new() } else { vec![why.to_owned()] }
}

fn is_uuid(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32 && plain.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && time::parse_timestamp(&format!("{text}T00:00:00Z")).is_some()
}

macro_rules! named {
    ($function:literal, $name:literal, $size:literal, $check:expr) => {
        Format { function: $function, name: $name, check: $check, regex_size: $size }
    };
}

static FORMATS: [Format; 13] = [
    named!("dns1123Label", "DNS1123Label", 30, rules::dns1123_label),
    named!("dns1123Subdomain", "DNS1123Subdomain", 60, rules::dns1123_subdomain),
    named!("dns1035Label", "DNS1035Label", 30, rules::dns1035_label),
    named!("qualifiedName", "QualifiedName", 60, rules::qualified_name),
    named!("dns1123LabelPrefix", "DNS1123LabelPrefix", 30, |text| prefix(text, rules::dns1123_label)),
    named!("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, |text| prefix(
        text,
        rules::dns1123_subdomain
    )),
    named!("dns1035LabelPrefix", "DNS1035LabelPrefix", 30, |text| prefix(text, rules::dns1035_label)),
    named!("labelValue", "LabelValue", 40, rules::label_value),
    named!("uri", "URI", 1000, |text| match url::parse(text) {
        Ok(_) => Vec::new(),
        Err(why) => vec![["parse \"", text, "\": ", why].concat()],
    }),
    named!("uuid", "uuid", 104, |text| unless(is_uuid(text), "does not match the UUID format")),
    named!("byte", "byte", 84, |text| unless(STANDARD.decode(text).is_ok(), "invalid base64")),
    named!("date", "date", 32, |text| unless(is_date(text), "invalid date")),
    named!("datetime", "datetime", 120, |text| unless(
        time::parse_timestamp(text).is_some(),
        "invalid datetime"
    )),
];

/// The longest text that is looked at.
const TEXT_MAX: usize = 4 << 20;
