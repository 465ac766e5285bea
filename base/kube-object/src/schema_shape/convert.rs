//! Which value does not fit its type, in the words of the API's conversion of a tree of values into
//! Go's types: what strategic merge patches and apply do, which do not decode text.

use kube_schema::{Object, Type};
use serde_json::Value;

use super::{check, object_of};

/// The first such value's error.
pub(super) fn first_error(value: &Value, root: &Object) -> Option<String> {
    object(value, root)
}

fn object(value: &Value, object: &Object) -> Option<String> {
    let Value::Object(fields) = value else {
        return Some(format!("cannot restore struct from: {}", go_kind(value)));
    };
    let known = fields.iter().filter_map(|(name, value)| Some((object.field(name)?, value)));
    known.filter(|(_, value)| !value.is_null()).find_map(|(field, value)| of_type(value, &field.kind))
}

fn of_type(value: &Value, kind: &Type) -> Option<String> {
    match (kind, value) {
        (_, Value::Null) | (Type::Any, _) => None,
        (Type::Object(_), value) => object_of(kind).and_then(|of| object(value, of)),
        (Type::Map(item), Value::Object(members)) => members.values().find_map(|value| of_type(value, item)),
        (Type::Map(_), other) => Some(format!("cannot restore map from {}", go_kind(other))),
        (Type::List { item, .. }, Value::Array(items)) => items.iter().find_map(|value| of_type(value, item)),
        (Type::List { .. }, other) => Some(format!("cannot restore slice from {}", go_kind(other))),
        (Type::String { format: Some("byte"), .. }, Value::String(text)) => {
            let at = check::base64_error(text.as_bytes())?;
            Some(format!("error decoding from json: illegal base64 data at input byte {at}"))
        }
        (Type::String { format: Some("byte"), .. }, other) => {
            Some(format!("cannot restore slice from {}", go_kind(other)))
        }
        (Type::String { .. }, value) => scalar(value, "string", value.is_string()),
        (Type::Bool, value) => scalar(value, "bool", value.is_boolean()),
        (Type::Int(bits), value) => {
            let whole = value.as_i64().is_some() || value.as_f64().is_some_and(|real| real.fract() == 0.0);
            scalar(value, if *bits == 32 { "int32" } else { "int64" }, whole)
        }
        (Type::Double, value) => scalar(value, "float64", value.is_number()),
        // These have decoders of their own, which take JSON.
        (Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime, value) => {
            check::value_error(value, kind)
        }
    }
}

/// Go converts integers and floating-point numbers into each other, and integers, by their
/// code point, into strings, which this conversion then refuses.
fn scalar(value: &Value, kind: &str, fits: bool) -> Option<String> {
    let convertible = match value {
        Value::Number(number) if number.is_f64() => kind.starts_with("int"),
        Value::Number(_) => kind == "string",
        _ => false,
    };
    match (fits, convertible) {
        (true, _) => None,
        (false, true) => Some(format!("cannot convert {} to {kind}", go_kind(value))),
        (false, false) => Some(format!("unrecognized type: {kind}")),
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::resource::GroupVersionKind;
    use crate::schema_shape::conversion_error;

    #[test]
    fn speaks_as_the_conversion() {
        let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
        for (spec, expected) in [
            (json!({"replicas": 2, "paused": null}), None),
            (json!({"replicas": 2.0}), None),
            (json!({"replicas": "many"}), Some("unrecognized type: int32")),
            (json!({"replicas": true}), Some("unrecognized type: int32")),
            (json!({"replicas": 1.5}), Some("cannot convert float64 to int32")),
            (json!({"paused": "yes"}), Some("unrecognized type: bool")),
            (json!({"strategy": {"type": 7}}), Some("cannot convert int64 to string")),
            (json!({"strategy": {"type": {}}}), Some("unrecognized type: string")),
            (json!({"strategy": 7}), Some("cannot restore struct from: int64")),
            (json!({"selector": {"matchLabels": "x"}}), Some("cannot restore map from string")),
            (json!({"selector": {"matchExpressions": {}}}), Some("cannot restore slice from map")),
            (json!([]), Some("cannot restore struct from: slice")),
            (
                json!({"template": {"spec": {"overhead": {"cpu": "12Q"}}}}),
                Some(
                    "quantities must match the regular expression \
                     '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                ),
            ),
        ] {
            let object = json!({"spec": spec});
            assert_eq!(conversion_error(&gvk, &object).as_deref(), expected, "{object}");
        }
        let secret = GroupVersionKind::new("", "v1", "Secret");
        let error = conversion_error(&secret, &json!({"data": {"a": "???"}}));
        assert_eq!(error.as_deref(), Some("error decoding from json: illegal base64 data at input byte 0"));
    }
}
