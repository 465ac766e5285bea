//! Quantities in the JSON of objects.

pub use base::quantity::Quantity;
use serde_json::Value;

/// Reads a JSON string or number; none where anything else stands or it is malformed.
pub fn read(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text.trim()).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}
