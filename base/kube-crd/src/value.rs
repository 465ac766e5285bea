//! What a schema does to values: it prunes them, completes them, coerces their
//! metadata and says what is wrong with them.

pub(crate) mod default;
pub(crate) mod lists;
pub(crate) mod meta;
pub(crate) mod prune;
#[cfg(test)]
mod tests;

use kube_object::field_error::FieldError;
use serde_json::Value;

use crate::path::Path;
use crate::schema::Structural;

pub use meta::{Malformed, MalformedObject};

impl Structural {
    /// Brings a decoded object into the form that is stored: fields that the schema
    /// does not know go, nulls that mean nothing go, and metadata, also that of
    /// embedded objects, gets the form of its Go type. To be called on the root.
    ///
    /// Gives the paths of unknown fields, in the order in which the API's field
    /// validation names them.
    pub fn admit(&self, object: &mut Value, malformed: Malformed) -> Result<Vec<String>, MalformedObject> {
        let mut unknown = meta::root(object, malformed).map_err(MalformedObject::Metadata)?;
        unknown.extend(prune::prune(object, self));
        prune::prune_nulls(object, Some(self));
        let embedded = meta::embedded(object, self, malformed);
        unknown.extend(embedded.map_err(|error| MalformedObject::Embedded(Box::new(error)))?);
        Ok(unknown)
    }

    /// Takes out the fields that the schema does not know; gives their paths, sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let unknown = prune::prune(object, self);
        prune::prune_nulls(object, Some(self));
        unknown
    }

    /// The paths of fields that the schema does not know, also in metadata.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        self.admit(&mut object.clone(), Malformed::Drop).unwrap_or_default()
    }

    /// Sets defaults, on writes and on reads.
    pub fn default(&self, object: &mut Value) {
        prune::prune_nulls(object, Some(self));
        default::default(object, self);
    }

    /// What is wrong with embedded objects' apiVersion, kind and metadata.
    pub fn check_embedded(&self, object: &Value) -> Vec<FieldError> {
        meta::check(object, self, &Path::Root)
    }

    /// What stands twice in lists that are sets or maps.
    pub fn check_lists(&self, object: &Value) -> Vec<FieldError> {
        lists::duplicates(object, self, &Path::Root)
    }
}
