//! `meta.k8s.io` Table and PartialObjectMetadata: what `kubectl get` and metadata clients read
//! instead of objects.

use jiff::Timestamp;
use kube_crd::columns::Column;
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Map, Value, json};

use crate::http::accept::MetaVersion;
use crate::kinds::{Model, Resource};

/// How much of an object a row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query's `includeObject`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// Makes tables of one resource.
pub struct Maker<'a> {
    resource: &'a Resource,
    version: MetaVersion,
    include: IncludeObject,
    now: Timestamp,
}

impl<'a> Maker<'a> {
    /// For the objects of a resource, as they look at a time.
    pub fn new(resource: &'a Resource, version: MetaVersion, include: IncludeObject, now: Timestamp) -> Self {
        Self { resource, version, include, now }
    }

    /// A table without rows: `revision` is that of the object shown, `list` the metadata of a list.
    pub fn head(&self, revision: &Value, list: Option<&Value>) -> Value {
        let mut metadata = list.cloned().unwrap_or_else(|| json!({}));
        if let (None, Some(fields), Value::String(_)) = (list, metadata.as_object_mut(), revision) {
            fields.insert("resourceVersion".to_owned(), revision.clone());
        }
        json!({
            "kind": "Table", "apiVersion": self.version.api_version(), "metadata": metadata,
            "columnDefinitions": self.columns(), "rows": [],
        })
    }

    /// A table of one object; `first` has the columns.
    pub fn one(&self, object: &Value, first: bool) -> Value {
        let revision = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
        let mut table = self.head(&revision, None);
        if let Some(fields) = table.as_object_mut() {
            fields.insert("rows".to_owned(), json!([self.row(object)]));
            if !first {
                fields.insert("columnDefinitions".to_owned(), Value::Null);
            }
        }
        table
    }

    /// The row of an object.
    pub fn row(&self, object: &Value) -> Value {
        let cells = match &self.resource.model {
            Model::BuiltIn(_) => kube_api::cells(&self.resource.gvk, object, self.now),
            Model::Custom(kind) => {
                let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
                let now = Time::from_unix(self.now.as_second());
                let cell = |column: &Column| now.map_or(Value::Null, |now| column.cell(object, now));
                std::iter::once(name).chain(kind.columns().iter().map(cell)).collect()
            }
        };
        let included = match self.include {
            IncludeObject::None => Value::Null,
            IncludeObject::Metadata => metadata_only(object, self.version),
            IncludeObject::Object => object.clone(),
        };
        json!({"cells": cells, "object": included})
    }

    fn columns(&self) -> Vec<Value> {
        let column = |name: &str, kind: &str, format: &str, description: &str, priority: i32| json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority});
        match &self.resource.model {
            Model::BuiltIn(_) => kube_api::columns(&self.resource.group_kind())
                .iter()
                .map(|it| column(it.name, it.kind, it.format, it.description, it.priority))
                .collect(),
            Model::Custom(kind) => {
                // Every kind's first column is described alike.
                let of_any = kube_api::columns(&GroupKind::new("", "ConfigMap"));
                let name = of_any.iter().find(|it| it.format == "name");
                let name = name.map(|it| column(it.name, it.kind, it.format, it.description, it.priority));
                name.into_iter().chain(kind.columns().iter().map(Column::definition)).collect()
            }
        }
    }
}

/// An object without all but its metadata.
pub fn metadata_only(object: &Value, version: MetaVersion) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}
