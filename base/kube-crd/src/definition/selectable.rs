//! Fields of custom resources that field selectors may name.

use serde_json::Value;

use super::text;

/// A field of `selectableFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// As selectors spell it: `spec.color`.
    pub name: String,
    steps: Vec<String>,
}

impl SelectableField {
    /// The field's value as selectors compare it; empty if there is none.
    pub fn value(&self, object: &Value) -> String {
        let found = self.steps.iter().try_fold(object, |at, step| at.get(step));
        match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

pub(super) fn selectable_fields(version: &Value) -> Vec<SelectableField> {
    let fields = version.get("selectableFields").and_then(Value::as_array).into_iter().flatten();
    let one = |field: &Value| {
        let path = text(field, "jsonPath")?;
        let name = path.strip_prefix('.').unwrap_or(&path).to_owned();
        Some(SelectableField { steps: name.split('.').map(str::to_owned).collect(), name })
    };
    fields.filter_map(one).collect()
}
