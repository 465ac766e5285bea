//! `metadata.managedFields`: who owns which fields since when.

use base::{Classified, ErrorClass};
use serde_json::{Map, Value, json};

use super::field_set::{FieldSet, InvalidFieldSet};

/// How fields came to their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Who.
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// In which version the fields are named.
    pub api_version: String,
    /// When the fields changed last, as RFC 3339.
    pub time: Option<String>,
    /// Through which subresource; empty for none.
    pub subresource: String,
    /// Which.
    pub fields: FieldSet,
}

/// All owners of an object's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers {
    /// An owner a line.
    pub entries: Vec<Managed>,
}

/// `managedFields` is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManagers {
    /// Not a list of objects.
    #[error("metadata.managedFields must be a list of objects")]
    Form,
    /// The operation is neither `Apply` nor `Update`.
    #[error(
        "metadata.managedFields[{at}].operation: Invalid value: {operation:?}: must be `Apply` or `Update`"
    )]
    Operation {
        /// Which entry.
        at: usize,
        /// What was given.
        operation: String,
    },
    /// The type of the fields is not `FieldsV1`.
    #[error("metadata.managedFields[{at}].fieldsType: Invalid value: {kind:?}: must be `FieldsV1`")]
    FieldsType {
        /// Which entry.
        at: usize,
        /// What was given.
        kind: String,
    },
    /// The fields are malformed.
    #[error("metadata.managedFields[{at}]")]
    Fields {
        /// Which entry.
        at: usize,
        /// Why.
        #[source]
        source: InvalidFieldSet,
    },
}

impl Classified for InvalidManagers {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// So many owners by `Update` an object has; older ones are put together.
pub const UPDATERS_MAX: usize = 10;
/// The owner of what the oldest updaters held.
pub const ANCIENT_CHANGES: &str = "ancient-changes";

/// Longest name of a manager.
pub const MANAGER_LEN_MAX: usize = 128;

/// The manager's name if a request gives none: the user agent's first word.
pub fn manager_from_user_agent(agent: &str) -> String {
    let word = agent.split('/').next().unwrap_or("");
    let mut name = String::new();
    for character in word.chars().filter(|character| !character.is_control()) {
        if name.len() + character.len_utf8() > MANAGER_LEN_MAX {
            break;
        }
        name.push(character);
    }
    name
}

impl Managed {
    /// Whether both are the same manager in the same role.
    pub fn is_same_owner(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

impl Managers {
    /// Reads `managedFields`; null and nothing are no owners.
    pub fn from_value(value: &Value) -> Result<Self, InvalidManagers> {
        let list = match value {
            Value::Null => return Ok(Self::default()),
            Value::Array(list) => list,
            _ => return Err(InvalidManagers::Form),
        };
        let mut entries = Vec::with_capacity(list.len());
        for (at, entry) in list.iter().enumerate() {
            if !entry.is_object() {
                return Err(InvalidManagers::Form);
            }
            let text = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                other => return Err(InvalidManagers::Operation { at, operation: other.to_owned() }),
            };
            if !entry["fieldsV1"].is_null() && text("fieldsType") != "FieldsV1" {
                return Err(InvalidManagers::FieldsType { at, kind: text("fieldsType") });
            }
            let fields = match &entry["fieldsV1"] {
                Value::Null => FieldSet::new(),
                fields => {
                    FieldSet::from_value(fields).map_err(|source| InvalidManagers::Fields { at, source })?
                }
            };
            entries.push(Managed {
                manager: text("manager"),
                operation,
                api_version: text("apiVersion"),
                time: entry["time"].as_str().map(str::to_owned),
                subresource: text("subresource"),
                fields,
            });
        }
        Ok(Self { entries })
    }

    /// Puts the oldest updaters of each version together, so that no more than
    /// [`UPDATERS_MAX`] are left (and one for each version, if there are more).
    pub fn cap_updaters(&mut self) {
        let is_updater = |entry: &Managed| entry.operation == Operation::Update;
        let count = self.entries.iter().filter(|entry| is_updater(entry)).count();
        if count <= UPDATERS_MAX {
            return;
        }
        let (mut updaters, others): (Vec<Managed>, Vec<Managed>) =
            self.entries.drain(..).partition(is_updater);
        updaters.sort_by(|a, b| (&a.time, &a.manager).cmp(&(&b.time, &b.manager)));
        // One more than is too many goes, for the owner that takes their place.
        let recent = updaters.split_off(count - UPDATERS_MAX + 1);
        let mut ancient: Vec<Managed> = Vec::new();
        for old in updaters {
            let place = |kept: &&mut Managed| {
                kept.api_version == old.api_version && kept.subresource == old.subresource
            };
            match ancient.iter_mut().find(place) {
                Some(kept) => {
                    kept.fields = std::mem::take(&mut kept.fields).union(old.fields);
                    kept.time = old.time;
                }
                None => ancient.push(Managed { manager: ANCIENT_CHANGES.to_owned(), ..old }),
            }
        }
        self.entries = others.into_iter().chain(ancient).chain(recent).collect();
    }

    /// Prints `managedFields` in its order: appliers first, then by time and name.
    pub fn to_value(&self) -> Value {
        let mut sorted: Vec<&Managed> =
            self.entries.iter().filter(|entry| !entry.fields.is_empty()).collect();
        sorted.sort_by_key(|entry| {
            (entry.operation, &entry.time, &entry.manager, &entry.api_version, &entry.subresource)
        });
        let print = |entry: &Managed| {
            let operation = if entry.operation == Operation::Apply { "Apply" } else { "Update" };
            let mut fields = Map::new();
            fields.insert("manager".to_owned(), json!(entry.manager));
            fields.insert("operation".to_owned(), json!(operation));
            fields.insert("apiVersion".to_owned(), json!(entry.api_version));
            if let Some(time) = &entry.time {
                fields.insert("time".to_owned(), json!(time));
            }
            fields.insert("fieldsType".to_owned(), json!("FieldsV1"));
            fields.insert("fieldsV1".to_owned(), entry.fields.to_value());
            if !entry.subresource.is_empty() {
                fields.insert("subresource".to_owned(), json!(entry.subresource));
            }
            Value::Object(fields)
        };
        Value::Array(sorted.into_iter().map(print).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_managers_after_user_agents() {
        for (agent, manager) in [
            ("kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "kubectl"),
            ("Mozilla/5.0", "Mozilla"),
            ("a\u{7}b", "ab"),
            ("", ""),
        ] {
            assert_eq!(manager_from_user_agent(agent), manager);
        }
        assert_eq!(manager_from_user_agent(&"\u{e4}".repeat(100)).len(), MANAGER_LEN_MAX);
    }

    #[test]
    fn reads_and_refuses() {
        let good = json!([{"manager": "a", "operation": "Update", "apiVersion": "v1", "time": "T", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:a": {}}, "subresource": "status"}]);
        assert_eq!(Managers::from_value(&good).unwrap().to_value(), good);
        assert_eq!(Managers::from_value(&Value::Null), Ok(Managers::default()));
        for bad in [
            json!({}),
            json!([1]),
            json!([{"operation": "Patch"}]),
            json!([{"operation": "Apply", "fieldsV1": {}}]),
            json!([{"operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"a": {}}}]),
        ] {
            assert!(Managers::from_value(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn old_updaters_are_put_together() {
        let entry = |at: usize| {
            json!({"manager": format!("m{at:02}"), "operation": "Update", "apiVersion": "v1", "time": format!("T{at:02}"),
                "fieldsType": "FieldsV1", "fieldsV1": {format!("f:f{at}"): {}}})
        };
        let mut managers = Managers::from_value(&(0..15).map(entry).collect()).unwrap();
        managers.cap_updaters();
        assert_eq!(managers.entries.len(), UPDATERS_MAX);
        assert_eq!(managers.entries[0].manager, ANCIENT_CHANGES);
        assert_eq!(managers.entries[0].fields.paths().len(), 6);
        assert_eq!(managers.entries[1].manager, "m06");
        let before = managers.clone();
        managers.cap_updaters();
        assert_eq!(managers, before);
    }
}
