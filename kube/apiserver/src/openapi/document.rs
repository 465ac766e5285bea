//! Whole documents, written straight into the compressor: never more than one path or definition
//! is in memory as a tree.

use std::io::{self, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use kube_crd::publish::Flavour;
use kube_schema::Schema;
use serde_json::{Value, json};

use super::schema::{Definitions, LIST_META, OBJECT_META};
use super::{custom, paths, protobuf};
use crate::kinds::{Model, Resource, Table};

type Out = GzEncoder<Vec<u8>>;

/// The version 3 document of a group and version; none if there is none.
pub(super) fn v3(table: &Table, group: &str, version: &str) -> Option<Vec<u8>> {
    let served = |it: &&Arc<Resource>| it.gvr.group == group && it.gvr.version == version;
    let resources: Vec<_> = table.resources().iter().filter(served).cloned().collect();
    if resources.is_empty() {
        return None;
    }
    // Writing to memory does not fail.
    write_v3(&resources).ok()
}

/// The version 2 document of everything.
pub(super) fn v2(table: &Table) -> Option<Vec<u8>> {
    write_v2(table.resources()).ok()
}

/// The version 2 document in protobuf.
pub(super) fn v2_protobuf(table: &Table) -> Option<Vec<u8>> {
    write_protobuf(table.resources()).ok()
}

fn write_v3(resources: &[Arc<Resource>]) -> io::Result<Vec<u8>> {
    let mut out = encoder();
    write!(out, "{{\"openapi\":\"3.0.0\",\"info\":{},\"paths\":", info())?;
    let definitions = write_paths(&mut out, resources, Flavour::V3)?;
    out.write_all(b",\"components\":{\"schemas\":")?;
    write_definitions(&mut out, definitions, resources, Flavour::V3)?;
    write!(out, ",\"securitySchemes\":{}}},\"security\":{}}}", schemes(), security())?;
    out.finish()
}

fn write_v2(resources: &[Arc<Resource>]) -> io::Result<Vec<u8>> {
    let mut out = encoder();
    write!(out, "{{\"swagger\":\"2.0\",\"info\":{},\"paths\":", info())?;
    let definitions = write_paths(&mut out, resources, Flavour::V2)?;
    out.write_all(b",\"definitions\":")?;
    write_definitions(&mut out, definitions, resources, Flavour::V2)?;
    write!(out, ",\"securityDefinitions\":{},\"security\":{}}}", schemes(), security())?;
    out.finish()
}

fn write_protobuf(resources: &[Arc<Resource>]) -> io::Result<Vec<u8>> {
    let mut document = protobuf::Document::new();
    let definitions = each_path(resources, Flavour::V2, |path, item| {
        document.path(path, item);
        Ok(())
    })?;
    each_definition(definitions, resources, Flavour::V2, |name, schema| {
        document.definition(name, schema);
        Ok(())
    })?;
    let rest = json!({"swagger": "2.0", "info": info(), "securityDefinitions": schemes(),
        "security": security()});
    let mut out = encoder();
    document.finish(&rest, &mut out)?;
    out.finish()
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": format!("v{}.0", Schema::builtin().release())})
}

fn schemes() -> Value {
    json!({"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header",
        "description": "Bearer Token authentication"}})
}

fn security() -> Value {
    json!([{"BearerToken": []}])
}

fn encoder() -> Out {
    GzEncoder::new(Vec::new(), Compression::default())
}

fn write_paths(out: &mut Out, resources: &[Arc<Resource>], flavour: Flavour) -> io::Result<Definitions> {
    let mut members = Members::begin(out)?;
    let definitions = each_path(resources, flavour, |path, item| members.write(out, path, item))?;
    Members::end(out)?;
    Ok(definitions)
}

fn write_definitions(
    out: &mut Out,
    definitions: Definitions,
    resources: &[Arc<Resource>],
    flavour: Flavour,
) -> io::Result<()> {
    let mut members = Members::begin(out)?;
    each_definition(definitions, resources, flavour, |name, schema| members.write(out, name, schema))?;
    Members::end(out)
}

/// Hands over each path with its item; what they refer to is for [`each_definition`].
fn each_path(
    resources: &[Arc<Resource>],
    flavour: Flavour,
    mut write: impl FnMut(&str, &Value) -> io::Result<()>,
) -> io::Result<Definitions> {
    let mut definitions = Definitions::new(flavour);
    for resource in resources {
        for (path, item) in paths::of(resource, flavour, &mut definitions) {
            write(&path, &item)?;
        }
    }
    Ok(definitions)
}

/// Hands over each definition of the resources and of what the paths refer to.
fn each_definition(
    mut definitions: Definitions,
    resources: &[Arc<Resource>],
    flavour: Flavour,
    mut write: impl FnMut(&str, &Value) -> io::Result<()>,
) -> io::Result<()> {
    for resource in resources {
        let name = paths::definition_name(resource);
        if let Model::Custom(kind) = &resource.model {
            let made = custom::definitions(resource, kind, flavour);
            for (name, value) in [name.clone(), format!("{name}List")].into_iter().zip(made) {
                write(&name, &value)?;
                definitions.made(name);
            }
            definitions.refer(OBJECT_META);
            definitions.refer(LIST_META);
        } else if !name.is_empty() {
            definitions.refer(&name);
        }
    }
    while let Some((name, value)) = definitions.next() {
        write(&name, &value)?;
    }
    Ok(())
}

/// Members of a JSON object, written one after the other.
struct Members {
    first: bool,
}

impl Members {
    fn begin(out: &mut Out) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self { first: true })
    }

    fn write(&mut self, out: &mut Out, name: &str, value: &Value) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        write!(out, "{comma}{}:{value}", Value::from(name))
    }

    fn end(out: &mut Out) -> io::Result<()> {
        out.write_all(b"}")
    }
}
