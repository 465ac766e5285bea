//! What the Kubernetes API says about its own types and fields, in words.
//!
//! `kube-schema` has the facts and no text. The text comes from the documentation of a
//! dependency, whose generated types each carry a JSON schema with descriptions. It is a crate
//! of its own because that dependency is large: who does not print descriptions does not
//! compile it.
//!
//! A schema is made when it is asked for and kept nowhere.

mod packages;

use k8s_openapi::schemars::generate::SchemaSettings;
use k8s_openapi::schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::packages::PACKAGES;

type Describe = fn(&mut SchemaGenerator) -> Schema;

fn describe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// Makes schemas; dropping it gives all of its memory back.
#[derive(Debug)]
pub struct Docs {
    generator: SchemaGenerator,
}

impl Default for Docs {
    fn default() -> Self {
        Self::new()
    }
}

impl Docs {
    /// Ready to describe; costs an entry for each definition.
    pub fn new() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/definitions".into();
        let mut generator = settings.into_generator();
        // The generator follows a reference only to what it does not hold yet.
        let known = names().map(|name| (name, Value::Bool(true)));
        generator.definitions_mut().extend(known);
        Self { generator }
    }

    /// The JSON schema of a definition, such as `io.k8s.api.core.v1.Pod`: `description`,
    /// `properties` with theirs, and references as `#/definitions/NAME`.
    pub fn schema(&mut self, definition: &str) -> Option<Value> {
        let describe = find(definition)?;
        Some(describe(&mut self.generator).to_value())
    }
}

/// All definitions that can be described.
pub fn names() -> impl Iterator<Item = String> {
    PACKAGES
        .iter()
        .flat_map(|package| package.types.iter().map(move |(name, _)| format!("{}.{name}", package.name)))
}

fn find(definition: &str) -> Option<Describe> {
    let (package, name) = definition.rsplit_once('.')?;
    let package = PACKAGES.iter().find(|candidate| candidate.name == package)?;
    let found = package.types.binary_search_by(|(candidate, _)| (*candidate).cmp(name)).ok()?;
    package.types.get(found).map(|(_, describe)| *describe)
}

#[cfg(test)]
mod tests {
    use kube_schema::Schema;

    use super::*;

    #[test]
    fn describes_every_definition_but_lists() {
        let mut docs = Docs::new();
        let mut missing = Vec::new();
        for object in Schema::builtin().objects() {
            match docs.schema(object.name) {
                Some(schema) => assert!(schema.is_object(), "{}", object.name),
                // Generic in the dependency: lists, and the envelope of a watch.
                None if object.name.ends_with("List") || object.name.ends_with(".WatchEvent") => {}
                None => missing.push(object.name),
            }
        }
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn refers_instead_of_repeating() {
        let mut docs = Docs::new();
        let pod = docs.schema("io.k8s.api.core.v1.Pod").unwrap();
        assert_eq!(
            pod.pointer("/properties/spec/$ref").and_then(Value::as_str),
            Some("#/definitions/io.k8s.api.core.v1.PodSpec")
        );
        assert!(pod["properties"]["spec"]["description"].as_str().unwrap().contains("desired behavior"));
        assert!(pod.get("definitions").is_none());
        assert_eq!(docs.schema("io.k8s.api.core.v1.Nothing"), None);
        assert_eq!(docs.schema("Pod"), None);
    }

    #[test]
    fn most_fields_have_words() {
        let (mut with, mut without) = (0, 0);
        let mut docs = Docs::new();
        for object in Schema::builtin().objects() {
            let Some(schema) = docs.schema(object.name) else { continue };
            for field in &object.fields {
                match schema["properties"][field.name]["description"].as_str() {
                    Some(_) => with += 1,
                    None => without += 1,
                }
            }
        }
        assert!(with > 2600, "{with}");
        assert!(without < 300, "{without}");
    }
}
