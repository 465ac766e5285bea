//! All that is checked when a custom resource is written.

use kube_object::field_error::{FieldError, FieldErrorReason};
use serde_json::Value;

use crate::definition::Version;
use crate::path::Path;
use crate::rules::OBJECT_BUDGET;
use crate::value::{lists, meta};

impl Version {
    /// What is wrong with a new object. `found` is what is wrong with its metadata,
    /// whose rules are those of any kind; it stands first.
    pub fn validate_create(&self, object: &Value, found: Vec<FieldError>) -> Vec<FieldError> {
        let mut found = found;
        found.extend(self.schema.validate(object, None, ""));
        found.extend(self.scale.iter().flat_map(|scale| scale.check(object)));
        found.extend(meta::check(object, &self.schema, &Path::Root));
        found.extend(lists::duplicates(object, &self.schema, &Path::Root));
        self.rules(object, None, found)
    }

    /// What is wrong with an object that takes the place of `old`. What did not change
    /// is forgiven as far as its place can be told.
    pub fn validate_update(&self, new: &Value, old: &Value, found: Vec<FieldError>) -> Vec<FieldError> {
        let mut found = found;
        found.extend(self.schema.validate(new, Some(old), ""));
        found.extend(self.scale.iter().flat_map(|scale| scale.check(new)));
        found.extend(meta::check(new, &self.schema, &Path::Root));
        found.extend(self.new_duplicates(new, old));
        self.rules(new, Some(old), found)
    }

    /// What is wrong with an object of which only the status is written.
    pub fn validate_status(&self, new: &Value, old: &Value, found: Vec<FieldError>) -> Vec<FieldError> {
        let mut found = found;
        if let (Some(status), Some(schema)) = (new.get("status"), self.schema.properties.get("status")) {
            found.extend(schema.validate(status, old.get("status"), "status"));
        }
        found.extend(self.scale.iter().flat_map(|scale| scale.check_status(new)));
        found.extend(self.new_duplicates(new, old));
        self.rules(new, Some(old), found)
    }

    fn new_duplicates(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let found = lists::duplicates(new, &self.schema, &Path::Root);
        let old_too = !found.is_empty() && !lists::duplicates(old, &self.schema, &Path::Root).is_empty();
        if old_too { Vec::new() } else { found }
    }

    fn rules(&self, new: &Value, old: Option<&Value>, mut found: Vec<FieldError>) -> Vec<FieldError> {
        let Some(rules) = &self.rules else { return found };
        let blocks = |error: &FieldError| {
            use FieldErrorReason::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            matches!(error.reason, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if found.iter().any(blocks) {
            found.push(FieldError::invalid("", Value::Null, NOT_CHECKED));
        } else {
            found.extend(rules.validate(new, old, &mut OBJECT_BUDGET.clone()));
        }
        found
    }
}

const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; \
                           correct the existing errors to complete validation";
