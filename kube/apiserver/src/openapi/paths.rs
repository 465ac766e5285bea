//! Paths: which operations a resource has, with their parameters.

use kube_crd::publish::{Flavour, model_name};
use serde_json::{Map, Value, json};

use super::schema::{Definitions, definition_of};
use crate::kinds::{Model, Resource};
use kube_object::resource::GroupVersionKind;
use kube_schema::Gvk;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The paths of a resource and their operations.
pub(super) fn of(
    resource: &Resource,
    flavour: Flavour,
    definitions: &mut Definitions,
) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    let writer = Writer { resource, flavour };
    let base = super::name_of(&resource.gvr.group, &resource.gvr.version);
    let plural = &resource.gvr.resource;
    let scoped = if resource.namespaced {
        format!("/{base}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("/{base}/{plural}")
    };
    if resource.namespaced && resource.does("list") {
        made.push((
            format!("/{base}/{plural}"),
            writer.item(&["list"], None, Place::Everywhere, definitions),
        ));
    }
    made.push((
        scoped.clone(),
        writer.item(&["list", "create", "deletecollection"], None, Place::Collection, definitions),
    ));
    let single = ["get", "update", "patch", "delete"];
    if single.iter().any(|verb| resource.does(verb)) {
        made.push((format!("{scoped}/{{name}}"), writer.item(&single, None, Place::Object, definitions)));
    }
    for part in &resource.subresources {
        let verbs = ["get", "create", "update", "patch", "delete"];
        let path = format!("{scoped}/{{name}}/{}", part.name);
        made.push((path, writer.item(&verbs, Some(&part.name), Place::Object, definitions)));
    }
    made.retain(|(_, item)| item.as_object().is_some_and(|item| item.len() > 1));
    made
}

/// The definition of a resource's objects.
pub(super) fn definition_name(resource: &Resource) -> String {
    match &resource.model {
        Model::BuiltIn(_) => definition(&resource.gvk).unwrap_or_default(),
        Model::Custom(_) => model_name(&resource.gvk.group, &resource.gvk.version, &resource.gvk.kind),
    }
}

fn definition(gvk: &GroupVersionKind) -> Option<String> {
    definition_of(Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind }).map(str::to_owned)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Everywhere,
    Collection,
    Object,
}

struct Writer<'a> {
    resource: &'a Resource,
    flavour: Flavour,
}

impl Writer<'_> {
    /// A path's item: the operations that the resource has of these, and the path's parameters.
    fn item(&self, verbs: &[&str], part: Option<&str>, place: Place, definitions: &mut Definitions) -> Value {
        let mut item = Map::new();
        for verb in verbs {
            let does = match part.and_then(|part| self.resource.subresource(part)) {
                Some(part) => part.verbs.iter().any(|known| known == verb),
                None => self.resource.does(verb),
            };
            if does {
                item.insert(method(verb).to_owned(), self.operation(verb, part, place, definitions));
            }
        }
        let mut parameters = Vec::new();
        if place == Place::Object {
            let text = format!("name of the {}", self.resource.gvk.kind);
            parameters.push(self.parameter("path", "name", "string", &text));
        }
        if self.resource.namespaced && place != Place::Everywhere {
            let text = "object name and auth scope, such as for teams and projects";
            parameters.push(self.parameter("path", "namespace", "string", text));
        }
        parameters.push(self.parameter("query", "pretty", "string", "Whether the answer has line breaks."));
        item.insert("parameters".to_owned(), Value::Array(parameters));
        Value::Object(item)
    }

    fn operation(
        &self,
        verb: &str,
        part: Option<&str>,
        place: Place,
        definitions: &mut Definitions,
    ) -> Value {
        let resource = self.resource;
        let gvk = match part.and_then(|part| resource.subresource(part)) {
            Some(part) => &part.gvk,
            None => &resource.gvk,
        };
        let own = match part {
            Some(_) => definition(gvk).or_else(|| (gvk == &resource.gvk).then(|| definition_name(resource))),
            None => Some(definition_name(resource)),
        };
        let answered = match verb {
            "list" => own.as_ref().map(|own| format!("{own}List")),
            "delete" | "deletecollection" => Some(format!("{META}Status")),
            _ => own.clone(),
        };
        let mut parameters: Vec<Value> = query_of(verb)
            .iter()
            .map(|(name, kind, text)| self.parameter("query", name, kind, text))
            .collect();
        let sent = match verb {
            "create" | "update" => own,
            "patch" => Some(format!("{META}Patch")),
            "delete" | "deletecollection" => Some(format!("{META}DeleteOptions")),
            _ => None,
        };
        let mut operation = Map::new();
        let tag = tag(&resource.gvk);
        operation.insert("operationId".to_owned(), json!(self.id(verb, part, place, &tag)));
        operation.insert("tags".to_owned(), json!([tag]));
        let text = format!("{verb} of {}", resource.gvk.kind);
        operation.insert("description".to_owned(), json!(text));
        operation.insert("x-kubernetes-action".to_owned(), json!(action(verb)));
        let kind = json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        operation.insert("x-kubernetes-group-version-kind".to_owned(), kind);
        if let Some(sent) = sent {
            self.take(verb, &definitions.refer(&sent), &mut operation, &mut parameters);
        }
        operation.insert("parameters".to_owned(), Value::Array(parameters));
        operation.insert("responses".to_owned(), self.responses(verb, answered, definitions));
        if self.flavour == Flavour::V2 {
            operation.insert("produces".to_owned(), json!(["application/json", "application/yaml"]));
            operation.insert("schemes".to_owned(), json!(["https"]));
        }
        Value::Object(operation)
    }

    /// As upstream: `listCoreV1NamespacedPod`.
    fn id(&self, verb: &str, part: Option<&str>, place: Place, tag: &str) -> String {
        let kind = &self.resource.gvk.kind;
        let everywhere = place == Place::Everywhere;
        let namespaced = if self.resource.namespaced && !everywhere { "Namespaced" } else { "" };
        let suffix = if everywhere { "ForAllNamespaces" } else { "" };
        let part = part.map(capital).unwrap_or_default();
        format!("{}{}{namespaced}{kind}{part}{suffix}", operation_verb(verb), id_of(tag))
    }

    /// Says which body an operation takes.
    fn take(
        &self,
        verb: &str,
        schema: &Value,
        operation: &mut Map<String, Value>,
        parameters: &mut Vec<Value>,
    ) {
        let required = !verb.starts_with("delete");
        match self.flavour {
            Flavour::V2 => {
                parameters
                    .push(json!({"name": "body", "in": "body", "required": required, "schema": schema}));
                operation.insert("consumes".to_owned(), json!(self.consumed(verb)));
            }
            Flavour::V3 => {
                let types = self.consumed(verb).iter();
                let content: Map<String, Value> =
                    types.map(|it| ((*it).to_owned(), json!({"schema": schema}))).collect();
                let body = json!({"required": required, "content": content});
                operation.insert("requestBody".to_owned(), body);
            }
        }
    }

    /// What a body may be. Clients learn here which patches a kind can take.
    fn consumed(&self, verb: &str) -> &'static [&'static str] {
        match verb {
            "patch" if self.resource.is_custom() => &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ],
            "patch" => &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ],
            _ => &["application/json", "application/yaml"],
        }
    }

    fn responses(&self, verb: &str, answered: Option<String>, definitions: &mut Definitions) -> Value {
        let codes: &[(&str, &str)] = match verb {
            "create" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "update" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        let schema = answered.map(|name| definitions.refer(&name));
        let mut responses = Map::new();
        for (code, text) in codes {
            let response = match (&schema, self.flavour) {
                (Some(schema), Flavour::V2) => json!({"description": text, "schema": schema}),
                (Some(schema), Flavour::V3) => {
                    json!({"description": text, "content": {"application/json": {"schema": schema},
                        "application/yaml": {"schema": schema}}})
                }
                (None, _) => json!({"description": text}),
            };
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }

    fn parameter(&self, place: &str, name: &str, kind: &str, text: &str) -> Value {
        let mut parameter = json!({"name": name, "in": place, "description": text});
        if let Some(fields) = parameter.as_object_mut() {
            if place == "path" {
                fields.insert("required".to_owned(), json!(true));
            }
            fields.insert("uniqueItems".to_owned(), json!(true));
            match self.flavour {
                Flavour::V2 => fields.insert("type".to_owned(), json!(kind)),
                Flavour::V3 => {
                    fields.remove("uniqueItems");
                    fields.insert("schema".to_owned(), json!({"type": kind, "uniqueItems": true}))
                }
            };
        }
        parameter
    }
}

fn method(verb: &str) -> &'static str {
    match verb {
        "create" => "post",
        "update" => "put",
        "patch" => "patch",
        "delete" | "deletecollection" => "delete",
        _ => "get",
    }
}

fn action(verb: &str) -> &str {
    match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    }
}

fn operation_verb(verb: &str) -> &str {
    match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "deleteCollection",
        other => other,
    }
}

/// `core_v1`, `apps_v1`, `rbacAuthorization_v1`.
fn tag(gvk: &GroupVersionKind) -> String {
    let group = if gvk.group.is_empty() { "core" } else { gvk.group.trim_end_matches(".k8s.io") };
    let mut words = group.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    let rest: String = words.map(capital).collect();
    format!("{first}{rest}_{}", gvk.version)
}

fn id_of(tag: &str) -> String {
    tag.split('_').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

type Parameter = (&'static str, &'static str, &'static str);

fn query_of(verb: &str) -> Vec<Parameter> {
    const DRY_RUN: Parameter =
        ("dryRun", "string", "With the value All everything is done but the write itself.");
    const MANAGER: Parameter =
        ("fieldManager", "string", "Who owns the fields that are written; at most 128 characters.");
    const VALIDATION: Parameter =
        ("fieldValidation", "string", "What becomes of unknown and repeated fields: Ignore, Warn or Strict.");
    const FORCE: Parameter = ("force", "boolean", "Apply takes fields from their owners.");
    const LIST: [Parameter; 9] = [
        ("allowWatchBookmarks", "boolean", "Whether a watch says now and then how far it is."),
        ("continue", "string", "Where the list goes on."),
        ("fieldSelector", "string", "Which fields the objects must have."),
        ("labelSelector", "string", "Which labels the objects must have."),
        ("limit", "integer", "Most objects in one answer."),
        ("resourceVersion", "string", "Which revision may or must be shown."),
        ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
        ("sendInitialEvents", "boolean", "Whether a watch begins with what is there."),
        ("timeoutSeconds", "integer", "When the list or watch ends."),
    ];
    const DELETE: [Parameter; 4] = [
        ("gracePeriodSeconds", "integer", "How long the object may take to end."),
        ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete even what cannot be read."),
        ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
        ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
    ];
    match verb {
        "list" => [&LIST[..], &[("watch", "boolean", "Follow the changes instead.")]].concat(),
        "create" | "update" => vec![DRY_RUN, MANAGER, VALIDATION],
        "patch" => vec![DRY_RUN, MANAGER, VALIDATION, FORCE],
        "delete" => [&[DRY_RUN], &DELETE[..]].concat(),
        "deletecollection" => [&[DRY_RUN], &DELETE[..], &LIST[1..]].concat(),
        _ => Vec::new(),
    }
}
