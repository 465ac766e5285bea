//! Which value does not fit its type, in the words of Go's decoder.
//!
//! Go goes on after a value of the wrong type and reports the first such; a type
//! with a decoder of its own (quantities, times) ends the decoding, so that its
//! error is the one that clients see.

use kube_schema::{Object, Type};
use serde_json::Value;

use super::{go_time, object_of};
use crate::quantity;

pub(super) fn first_error(value: &Value, root: &Object) -> Option<String> {
    let mut check = Check { first: None };
    match check.object(value, root, None) {
        Err(fatal) => Some(fatal.0),
        Ok(()) => check.first,
    }
}

/// What the decoder of one type says of a value.
pub(super) fn value_error(value: &Value, kind: &Type) -> Option<String> {
    let mut check = Check { first: None };
    match check.value(value, kind, None) {
        Err(fatal) => Some(fatal.0),
        Ok(()) => check.first,
    }
}

/// An error that ends the decoding.
struct Fatal(String);

struct Check {
    first: Option<String>,
}

/// The way from the root, and the type of the object that has the last field.
#[derive(Clone, Copy)]
struct Place<'a> {
    owner: &'a str,
    field: &'a str,
    above: Option<&'a Place<'a>>,
}

impl Check {
    fn object(&mut self, value: &Value, object: &Object, place: Option<&Place<'_>>) -> Result<(), Fatal> {
        let Value::Object(fields) = value else {
            return self.mismatch(value, || go_name(object.name).to_owned(), place);
        };
        let owner = object.name.rsplit('.').next().unwrap_or_default();
        for (name, value) in fields {
            if let Some(field) = object.field(name) {
                let place = Place { owner, field: field.name, above: place };
                self.value(value, &field.kind, Some(&place))?;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, kind: &Type, place: Option<&Place<'_>>) -> Result<(), Fatal> {
        if value.is_null() {
            return Ok(());
        }
        let fits = match (kind, value) {
            (Type::Any, _) => true,
            (Type::Object(_), value) => {
                return object_of(kind).map_or(Ok(()), |object| self.object(value, object, place));
            }
            (Type::Map(kind), Value::Object(members)) => {
                return members.values().try_for_each(|value| self.value(value, kind, place));
            }
            (Type::List { item, .. }, Value::Array(items)) => {
                return items.iter().try_for_each(|value| self.value(value, item, place));
            }
            (Type::Quantity, value) => return quantity_error(value).map_or(Ok(()), |text| Err(Fatal(text))),
            (Type::Time, Value::String(text)) => return time(text, false),
            (Type::MicroTime, Value::String(text)) => return time(text, true),
            // Their own decoders end the decoding, and Go adds the place to what they say.
            (Type::Time | Type::MicroTime, _) => return Err(Fatal(wrong(value, "string", place))),
            (Type::IntOrString, Value::String(_)) => true,
            (Type::IntOrString, value) if fits_int(value, 32) => true,
            (Type::IntOrString, _) => return Err(Fatal(wrong(value, "int32", place))),
            (Type::String { format: Some("byte"), .. }, Value::String(text)) => {
                if let Some(at) = base64_error(text.as_bytes()) {
                    self.note(|| format!("illegal base64 data at input byte {at}"));
                }
                true
            }
            (Type::String { .. }, Value::String(_)) => true,
            (Type::Int(bits), value) => fits_int(value, *bits),
            (Type::Double, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => true,
            _ => false,
        };
        if fits { Ok(()) } else { self.mismatch(value, || go_type(kind), place) }
    }

    fn mismatch(
        &mut self,
        value: &Value,
        kind: impl Fn() -> String,
        place: Option<&Place<'_>>,
    ) -> Result<(), Fatal> {
        if !value.is_null() {
            self.note(|| wrong(value, &kind(), place));
        }
        Ok(())
    }

    fn note(&mut self, text: impl Fn() -> String) {
        if self.first.is_none() {
            self.first = Some(text());
        }
    }
}

fn wrong(value: &Value, kind: &str, place: Option<&Place<'_>>) -> String {
    let integer = kind.starts_with("int");
    let what = match value {
        Value::Number(number) if integer => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
        Value::Null => "null".to_owned(),
    };
    let Some(place) = place else {
        return format!("json: cannot unmarshal {what} into Go value of type {kind}");
    };
    let mut path = vec![place.field];
    let mut above = place.above;
    while let Some(one) = above {
        path.push(one.field);
        above = one.above;
    }
    path.reverse();
    let (owner, path) = (place.owner, path.join("."));
    format!("json: cannot unmarshal {what} into Go struct field {owner}.{path} of type {kind}")
}

fn fits_int(value: &Value, bits: u8) -> bool {
    match bits {
        32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        _ => value.as_i64().is_some(),
    }
}

fn time(text: &str, micro: bool) -> Result<(), Fatal> {
    go_time::error(text, micro).map_or(Ok(()), |text| Err(Fatal(text)))
}

fn quantity_error(value: &Value) -> Option<String> {
    let checked = match value {
        Value::String(text) => quantity::canonical(text),
        other => quantity::canonical(&other.to_string()),
    };
    checked.err().map(|error| error.to_string())
}

/// The name of a type in Go: package and name.
fn go_name(definition: &str) -> &str {
    let mut dots = definition.rmatch_indices('.').map(|(at, _)| at);
    let _ = dots.next();
    dots.next().map_or(definition, |at| &definition[at + 1..])
}

fn go_type(kind: &Type) -> String {
    match kind {
        Type::Object(_) => object_of(kind).map_or("object", |object| go_name(object.name)).to_owned(),
        Type::Map(value) => format!("map[string]{}", go_type(value)),
        Type::List { item, .. } => format!("[]{}", go_type(item)),
        Type::String { format: Some("byte"), .. } => "[]uint8".to_owned(),
        Type::String { .. } => "string".to_owned(),
        Type::Int(bits) => format!("int{bits}"),
        Type::Double => "float64".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::Any => "interface {}".to_owned(),
    }
}

/// Where standard base64 ends to be that, by the count of Go's decoder.
pub(super) fn base64_error(text: &[u8]) -> Option<usize> {
    let mut in_quantum = 0;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'\r' | b'\n' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => in_quantum = (in_quantum + 1) % 4,
            b'=' if in_quantum >= 2 => return padding_error(text, at, in_quantum == 2),
            _ => return Some(at - 1),
        }
    }
    (in_quantum != 0).then(|| text.len() - in_quantum)
}

fn padding_error(text: &[u8], mut at: usize, second: bool) -> Option<usize> {
    let skip = |at: &mut usize| {
        while matches!(text.get(*at), Some(b'\r' | b'\n')) {
            *at += 1;
        }
    };
    if second {
        skip(&mut at);
        match text.get(at) {
            Some(b'=') => at += 1,
            Some(_) => return Some(at),
            None => return Some(text.len()),
        }
    }
    skip(&mut at);
    (at < text.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_errors_stand_where_go_puts_them() {
        for (text, expected) in [
            ("", None),
            ("YQ==", None),
            ("YWI=", None),
            ("YWJj\n", None),
            ("YW\nJj", None),
            ("not base64!", Some(3)),
            ("YQ=", Some(3)),
            ("YQ", Some(0)),
            ("YWJjYQ", Some(4)),
            ("YQ==YQ==", Some(4)),
            ("=", Some(0)),
            ("YWJj_", Some(4)),
        ] {
            assert_eq!(base64_error(text.as_bytes()), expected, "{text:?}");
        }
    }
}
