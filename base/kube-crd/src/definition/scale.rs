//! The scale subresource: where an object keeps its replicas.

use kube_object::field_error::FieldError;
use serde_json::{Map, Value, json};

use super::text;

/// The paths of `subresources.scale`, without their leading dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    spec_replicas: Vec<String>,
    status_replicas: Vec<String>,
    selector: Option<Vec<String>>,
}

impl ScalePaths {
    pub(super) fn parse(scale: &Value) -> Option<Self> {
        let path = |name: &str| text(scale, name).map(|path| steps(&path));
        Some(Self {
            spec_replicas: path("specReplicasPath")?,
            status_replicas: path("statusReplicasPath")?,
            selector: path("labelSelectorPath"),
        })
    }

    /// How many replicas an object wants, if it says so.
    pub fn wanted(&self, object: &Value) -> Option<i64> {
        lookup(object, &self.spec_replicas).and_then(Value::as_i64)
    }

    /// The autoscaling/v1 Scale of an object.
    pub fn scale(&self, object: &Value) -> Value {
        let wanted = self.wanted(object).unwrap_or_default();
        let observed = lookup(object, &self.status_replicas).and_then(Value::as_i64).unwrap_or_default();
        let mut metadata = Map::new();
        for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(name)) {
                metadata.insert(name.to_owned(), value.clone());
            }
        }
        let mut scale = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
            "spec": {}, "status": {"replicas": observed},
        });
        if let Some(spec) = scale.get_mut("spec").and_then(Value::as_object_mut)
            && wanted != 0
        {
            spec.insert("replicas".to_owned(), json!(wanted));
        }
        let selector = self.selector.as_ref().and_then(|path| lookup(object, path)?.as_str());
        if let (Some(selector), Some(status)) =
            (selector.filter(|text| !text.is_empty()), scale.get_mut("status").and_then(Value::as_object_mut))
        {
            status.insert("selector".to_owned(), json!(selector));
        }
        scale
    }

    /// Writes the replicas that a Scale asks for into the object.
    pub fn set_replicas(&self, object: &mut Value, replicas: i64) -> Result<(), FieldError> {
        let mut at = object;
        let Some((last, before)) = self.spec_replicas.split_last() else { return Ok(()) };
        for step in before {
            let shown = at.clone();
            let fields = at.as_object_mut().ok_or_else(|| {
                FieldError::invalid(self.spec_replicas.join("."), shown, "must be an object")
            })?;
            at = fields.entry(step.as_str()).or_insert_with(|| Value::Object(Map::new()));
        }
        match at.as_object_mut() {
            Some(fields) => {
                fields.insert(last.clone(), json!(replicas));
                Ok(())
            }
            None => Err(FieldError::invalid(self.spec_replicas.join("."), at.clone(), "must be an object")),
        }
    }

    /// What is wrong with an object's replicas, wanted and observed, and its selector.
    pub fn check(&self, object: &Value) -> Vec<FieldError> {
        let mut found = number(object, &self.spec_replicas);
        found.extend(self.check_status(object));
        found
    }

    /// As [`ScalePaths::check`], only of what the status subresource may write.
    pub fn check_status(&self, object: &Value) -> Vec<FieldError> {
        let mut found = number(object, &self.status_replicas);
        let selector = self.selector.as_ref().and_then(|path| Some((path, lookup(object, path)?)));
        if let Some((path, value)) = selector.filter(|(_, value)| !value.is_string()) {
            found.push(FieldError::invalid(dotted(path), "", wrong(path, value, "string")));
        }
        found
    }

    /// The path of the wanted replicas, as the definition writes it: `.spec.replicas`.
    pub fn wanted_path(&self) -> String {
        dotted(&self.spec_replicas)
    }
}

fn number(object: &Value, path: &[String]) -> Vec<FieldError> {
    let Some(value) = lookup(object, path) else { return Vec::new() };
    let field = dotted(path);
    match value.as_i64() {
        None => vec![FieldError::invalid(field, 0, wrong(path, value, "int64"))],
        Some(number) if number < 0 => {
            vec![FieldError::invalid(field, number, "should be a non-negative integer")]
        }
        Some(number) if number > i64::from(i32::MAX) => {
            let detail = format!("should be less than or equal to {}", i32::MAX);
            vec![FieldError::invalid(field, number, detail)]
        }
        Some(_) => Vec::new(),
    }
}

fn wrong(path: &[String], value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!(".{} accessor error: {shown} is of the type {found}, expected {wanted}", path.join("."))
}

fn dotted(path: &[String]) -> String {
    format!(".{}", path.join("."))
}

fn steps(path: &str) -> Vec<String> {
    path.strip_prefix('.').unwrap_or(path).split('.').map(str::to_owned).collect()
}

fn lookup<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |at, step| at.get(step))
}
