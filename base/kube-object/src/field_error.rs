//! What is wrong with a field, in the API's words.
//!
//! The texts are those that clients print and that tests of others compare, such as
//! `spec.replicas: Invalid value: -1: must be greater than or equal to 0`.

use std::fmt;

use serde_json::{Value, json};

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of wrong it is.
    pub reason: FieldErrorReason,
    /// Where: `spec.containers[0].name`; empty for the whole object.
    pub field: String,
    /// The value, where the kind shows one.
    pub bad_value: Option<Value>,
    /// The sentence; may be empty.
    pub detail: String,
}

/// The kinds of wrong; each is a `reason` of a `StatusCause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorReason {
    /// It refers to what does not exist.
    NotFound,
    /// It must be there.
    Required,
    /// It must be unique.
    Duplicate,
    /// Its value is malformed.
    Invalid,
    /// Its value is not among those that are known.
    NotSupported,
    /// It may not be set here.
    Forbidden,
    /// It has too many bytes.
    TooLong,
    /// It has too many items.
    TooMany,
    /// It is of the wrong type.
    TypeInvalid,
    /// We failed, not the value.
    Internal,
}

impl FieldErrorReason {
    /// The machine's word, a `metav1.CauseType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::TooMany | Self::Internal)
    }
}

impl FieldError {
    /// The value is malformed.
    pub fn invalid(field: impl Into<String>, bad_value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorReason::Invalid, field, Some(bad_value.into()), detail)
    }

    /// The field must be there.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorReason::Required, field, None, detail)
    }

    /// The field may not be set here.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorReason::Forbidden, field, None, detail)
    }

    /// The value stands twice.
    pub fn duplicate(field: impl Into<String>, bad_value: impl Into<Value>) -> Self {
        Self::new(FieldErrorReason::Duplicate, field, Some(bad_value.into()), "")
    }

    /// What the value names does not exist.
    pub fn not_found(field: impl Into<String>, bad_value: impl Into<Value>) -> Self {
        Self::new(FieldErrorReason::NotFound, field, Some(bad_value.into()), "")
    }

    /// The value is not one of `supported`, which upstream has as a set: it is shown in order.
    pub fn not_supported(field: impl Into<String>, bad_value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut supported = supported.to_vec();
        supported.sort_unstable();
        Self::not_listed(field, bad_value, &supported)
    }

    /// The value is not one of `supported`, which is shown as it stands.
    pub fn not_listed(field: impl Into<String>, bad_value: impl Into<Value>, supported: &[&str]) -> Self {
        let values: Vec<_> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        let detail = if values.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", values.join(", "))
        };
        Self::new(FieldErrorReason::NotSupported, field, Some(bad_value.into()), detail)
    }

    /// The value has more than `max` bytes.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        let detail = format!("may not be more than {max} bytes");
        Self::new(FieldErrorReason::TooLong, field, None, detail)
    }

    /// The list has more than `max` items.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        let detail = if max == 1 {
            "must have at most 1 item".to_owned()
        } else {
            format!("must have at most {max} items")
        };
        Self { bad_value: Some(json!(actual)), ..Self::new(FieldErrorReason::TooMany, field, None, detail) }
    }

    /// The value is of the wrong type.
    pub fn type_invalid(
        field: impl Into<String>,
        bad_value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(FieldErrorReason::TypeInvalid, field, Some(bad_value.into()), detail)
    }

    fn new(
        reason: FieldErrorReason,
        field: impl Into<String>,
        bad_value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { reason, field: field.into(), bad_value, detail: detail.into() }
    }

    /// The text without the field: `Invalid value: -1: must be positive`.
    pub fn body(&self) -> String {
        let mut text = self.reason.words().to_owned();
        if self.reason == FieldErrorReason::TooMany
            && let Some(actual) = &self.bad_value
        {
            text.push_str(&format!(": {actual}"));
        } else if self.reason.shows_value() {
            match &self.bad_value {
                // A rule over a whole object leaves its value out; a null is a word.
                None => {}
                Some(Value::Null) => text.push_str(": \"null\""),
                Some(value) => text.push_str(&format!(": {value}")),
            }
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(": {}", self.detail));
        }
        text
    }

    /// `metav1.StatusCause`.
    pub fn to_cause(&self) -> Value {
        json!({"reason": self.reason.as_str(), "message": self.body(), "field": self.field})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.field.is_empty() { "<nil>" } else { &self.field }, self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_upstream() {
        for (error, text) in [
            (FieldError::invalid("a.b", -1, "must be positive"), "a.b: Invalid value: -1: must be positive"),
            (FieldError::invalid("a", "x", "bad"), "a: Invalid value: \"x\": bad"),
            (FieldError::required("spec.selector", ""), "spec.selector: Required value"),
            (
                FieldError::not_supported("t", "x", &["b", "a"]),
                "t: Unsupported value: \"x\": supported values: \"a\", \"b\"",
            ),
            (
                FieldError::not_listed("t", "x", &["b", "a"]),
                "t: Unsupported value: \"x\": supported values: \"b\", \"a\"",
            ),
            (FieldError::duplicate("p[1]", "x"), "p[1]: Duplicate value: \"x\""),
            (FieldError::too_long("n", 63), "n: Too long: may not be more than 63 bytes"),
            (FieldError::too_many("n", 3, 2), "n: Too many: 3: must have at most 2 items"),
            (FieldError::forbidden("s", "no"), "s: Forbidden: no"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
