//! From one version of a custom resource to another: by another apiVersion, or by a
//! webhook, whose request is built and whose response is checked here.

use base::{Classified, ErrorClass};
use kube_object::names;
use serde_json::{Map, Value, json};

use crate::definition::{Conversion, Definition};

/// An object could not be converted. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The definition has no such version.
    #[error("request to convert CR {direction} an invalid group/version: {api_version}")]
    NoSuchVersion {
        /// `to` or `from`.
        direction: &'static str,
        /// What was asked for.
        api_version: String,
    },
    /// The webhook speaks no version of ConversionReview that is known here.
    #[error("no supported conversion review versions")]
    ReviewVersion,
    /// The webhook could not be asked, or refused.
    #[error("conversion webhook for {kind} failed: {reason}")]
    Failed {
        /// The kind of the objects.
        kind: String,
        /// Why.
        reason: String,
    },
    /// The webhook gave more or fewer objects than it was asked for.
    #[error("conversion webhook for {kind} returned {found} objects, expected {wanted}")]
    Count {
        /// The kind of the objects.
        kind: String,
        /// How many came.
        found: usize,
        /// How many had gone.
        wanted: usize,
    },
    /// The webhook gave an object that cannot stand for the one it was asked for.
    #[error("conversion webhook for {kind} returned {what}")]
    Object {
        /// The kind of the object.
        kind: String,
        /// What is wrong.
        what: String,
    },
}

impl Classified for ConversionError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Internal
    }
}

/// How to convert objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing is to be asked: the objects are done.
    Done(Vec<Value>),
    /// A webhook is to be asked, with this request; the response goes to [`Review::finish`].
    Ask(Review),
}

/// A conversion that waits for its webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    objects: Vec<Value>,
    asked: Vec<usize>,
    api_version: String,
    review_version: String,
    uid: String,
    kind: String,
}

/// Plans the conversion of objects of a definition to `version`. `uid` is the name of
/// the request, should one be needed.
pub fn plan(
    definition: &Definition,
    objects: Vec<Value>,
    version: &str,
    uid: &str,
) -> Result<Plan, ConversionError> {
    let api_version = format!("{}/{version}", definition.group());
    let known = |api_version: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        group == definition.group() && definition.version(version).is_some()
    };
    let no_such = |direction, api_version: &str| ConversionError::NoSuchVersion {
        direction,
        api_version: api_version.to_owned(),
    };
    if !known(&api_version) {
        return Err(no_such("to", &api_version));
    }
    if let Some(wrong) = objects.iter().map(api_version_of).find(|one| !known(one)) {
        return Err(no_such("from", wrong));
    }
    let review_versions = match definition.conversion() {
        Conversion::None => {
            return Ok(Plan::Done(objects.into_iter().map(|one| renamed(one, &api_version)).collect()));
        }
        Conversion::Webhook { review_versions, .. } => review_versions,
    };
    let mut objects = objects;
    let mut asked = Vec::new();
    for (at, object) in objects.iter_mut().enumerate() {
        if api_version_of(object) == api_version {
            continue;
        }
        // An object that says nothing but its kind needs no webhook.
        if object.as_object().is_some_and(|fields| fields.len() == 2 && fields.contains_key("kind")) {
            set(object, "apiVersion", json!(api_version));
        } else {
            asked.push(at);
        }
    }
    if asked.is_empty() {
        return Ok(Plan::Done(objects));
    }
    let supported = review_versions.iter().find(|one| matches!(one.as_str(), "v1" | "v1beta1"));
    Ok(Plan::Ask(Review {
        kind: kind_of(&objects[asked[0]]),
        objects,
        asked,
        api_version,
        review_version: supported.ok_or(ConversionError::ReviewVersion)?.clone(),
        uid: uid.to_owned(),
    }))
}

impl Review {
    /// The ConversionReview to send.
    pub fn request(&self) -> Value {
        let objects: Vec<&Value> = self.asked.iter().filter_map(|at| self.objects.get(*at)).collect();
        json!({
            "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{}", self.review_version),
            "request": {"uid": self.uid, "desiredAPIVersion": self.api_version, "objects": objects},
        })
    }

    /// The error of a webhook that could not be asked.
    pub fn unreachable(&self, reason: &str) -> ConversionError {
        ConversionError::Failed { kind: self.kind.clone(), reason: reason.to_owned() }
    }

    /// Checks the response and gives all objects, in their order.
    pub fn finish(mut self, response: &Value) -> Result<Vec<Value>, ConversionError> {
        let converted = self.converted(response)?;
        let (found, wanted) = (converted.len(), self.asked.len());
        if found != wanted {
            return Err(ConversionError::Count { kind: self.kind, found, wanted });
        }
        for (index, (at, converted)) in self.asked.iter().zip(converted).enumerate() {
            let Some(original) = self.objects.get_mut(*at) else { continue };
            let kept = check(original, converted, &self.api_version, index)
                .and_then(|()| with_metadata(original, converted.clone()));
            match kept {
                Ok(object) => *original = object,
                Err(what) => return Err(ConversionError::Object { kind: kind_of(original), what }),
            }
        }
        Ok(self.objects)
    }

    fn converted<'a>(&self, review: &'a Value) -> Result<&'a [Value], ConversionError> {
        let text = |value: &'a Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let wanted = format!("apiextensions.k8s.io/{}", self.review_version);
        if self.review_version == "v1" {
            let (kind, version) = (text(review, "kind"), text(review, "apiVersion"));
            if kind != "ConversionReview" || version != wanted {
                let reason = format!(
                    "expected webhook response of {wanted}, Kind=ConversionReview, got {version}, Kind={kind}"
                );
                return Err(self.unreachable(&reason));
            }
        }
        let Some(response) = review.get("response").filter(|response| response.is_object()) else {
            return Err(self.unreachable("no response provided"));
        };
        let uid = text(response, "uid");
        if self.review_version == "v1" && uid != self.uid {
            return Err(self.unreachable(&format!("expected response.uid={:?}, got {uid:?}", self.uid)));
        }
        let result = response.get("result").unwrap_or(&Value::Null);
        if text(result, "status") != "Success" {
            let reason = match text(result, "message") {
                "" => format!("response.result.status was '{}', not 'Success'", text(result, "status")),
                message => message.to_owned(),
            };
            return Err(self.unreachable(&reason));
        }
        Ok(response.get("convertedObjects").and_then(Value::as_array).map_or(&[], Vec::as_slice))
    }
}

/// Whether the converted object can stand for the original, in the words for one object.
fn check(original: &Value, converted: &Value, api_version: &str, index: usize) -> Result<(), String> {
    let found = api_version_of(converted);
    if found != api_version {
        return Err(format!(
            "invalid object at index {index}: invalid groupVersion (expected {api_version}, received {found})"
        ));
    }
    let kind = |object: &Value| object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (wanted, found) = (kind(original), kind(converted));
    if wanted != found {
        return Err(format!(
            "invalid object at index {index}: invalid kind (expected {wanted}, received {found})"
        ));
    }
    let meta = |object: &Value, name: &str| {
        let value = object.get("metadata").and_then(|metadata| metadata.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    for (name, shown) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (wanted, found) = (meta(original, name), meta(converted, name));
        if wanted != found {
            return Err(format!("invalid object: must have the same {shown}: {wanted} != {found}"));
        }
    }
    Ok(())
}

/// The converted object with the original's metadata, but for labels and annotations.
fn with_metadata(original: &Value, converted: Value) -> Result<Value, String> {
    metadata_of(original, converted).map_err(|why| format!("invalid metadata: {why}"))
}

fn metadata_of(original: &Value, converted: Value) -> Result<Value, String> {
    let mut converted = converted;
    let Some(theirs) = converted.get("metadata").cloned() else {
        return Err("missing metadata in converted object".to_owned());
    };
    if !theirs.is_object() {
        return Err("invalid metadata in converted object".to_owned());
    }
    let mut metadata = original.get("metadata").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    for name in ["labels", "annotations"] {
        let ours = metadata.get(name).cloned().unwrap_or_default();
        match theirs.get(name).filter(|value| !value.is_null()) {
            None => {
                if let Some(fields) = metadata.as_object_mut() {
                    fields.remove(name);
                }
            }
            Some(Value::Object(fields)) => {
                if ours != Value::Object(fields.clone()) {
                    texts(name, fields)?;
                }
                set(&mut metadata, name, Value::Object(fields.clone()));
            }
            Some(_) => return Err(format!("invalid metadata.{name} in converted object")),
        }
    }
    set(&mut converted, "metadata", metadata);
    Ok(converted)
}

fn texts(name: &str, fields: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in fields {
        let Value::String(text) = value else {
            return Err(format!("metadata.{name}[{key}] must be a string in converted object"));
        };
        let lower = key.to_lowercase();
        let mut wrong = names::qualified_name(if name == "labels" { key } else { &lower });
        if name == "labels" {
            wrong.extend(names::label_value(text));
        }
        if let Some(wrong) = wrong.first() {
            return Err(format!("metadata.{name}: Invalid value: {key:?}: {wrong}"));
        }
    }
    Ok(())
}

fn renamed(mut object: Value, api_version: &str) -> Value {
    set(&mut object, "apiVersion", json!(api_version));
    object
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn api_version_of(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

/// As Go prints a kind: `example.com/v1, Kind=Foo`.
fn kind_of(object: &Value) -> String {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    format!("{}, Kind={kind}", api_version_of(object))
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]
mod tests {
    use super::*;

    fn definition(conversion: Value) -> Definition {
        let version = |name: &str| json!({"name": name, "served": true, "storage": name == "v1"});
        Definition::compile(&json!({"spec": {"group": "g.io", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [version("v1"), version("v2")], "conversion": conversion}}))
        .unwrap()
    }

    fn webhook() -> Definition {
        definition(json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://x"},
            "conversionReviewVersions": ["v3", "v1"]}}))
    }

    fn object(version: &str) -> Value {
        json!({"apiVersion": format!("g.io/{version}"), "kind": "Foo", "metadata": {"name": "a", "uid": "u",
            "labels": {"x": "y"}, "generation": 3}, "spec": 1})
    }

    #[test]
    fn none_only_renames() {
        let none = definition(json!({"strategy": "None"}));
        let Plan::Done(objects) = plan(&none, vec![object("v1")], "v2", "id").unwrap() else { panic!() };
        assert_eq!(objects, [object("v2")]);
        let error = plan(&none, vec![object("v9")], "v2", "id").unwrap_err();
        assert_eq!(error.to_string(), "request to convert CR from an invalid group/version: g.io/v9");
        let error = plan(&none, vec![], "v9", "id").unwrap_err();
        assert_eq!(error.to_string(), "request to convert CR to an invalid group/version: g.io/v9");
    }

    #[test]
    fn webhooks_are_asked_for_what_differs() {
        let objects = vec![object("v2"), object("v1")];
        let Plan::Ask(review) = plan(&webhook(), objects, "v2", "id").unwrap() else { panic!() };
        assert_eq!(
            review.request(),
            json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "request":
                {"uid": "id", "desiredAPIVersion": "g.io/v2", "objects": [object("v1")]}})
        );
        let mut converted = object("v2");
        converted["spec"] = json!({"new": 1});
        converted["metadata"] = json!({"name": "a", "uid": "u", "annotations": {"b": "c"}, "generation": 9});
        let response = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response":
            {"uid": "id", "result": {"status": "Success"}, "convertedObjects": [converted]}});
        let done = review.finish(&response).unwrap();
        assert_eq!(done[0], object("v2"));
        assert_eq!(done[1]["spec"], json!({"new": 1}));
        assert_eq!(
            done[1]["metadata"],
            json!({"name": "a", "uid": "u", "annotations": {"b": "c"}, "generation": 3})
        );
        assert!(matches!(plan(&webhook(), vec![object("v2")], "v2", "id"), Ok(Plan::Done(_))));
    }

    #[test]
    fn bad_answers_are_refused() {
        let Plan::Ask(review) = plan(&webhook(), vec![object("v1")], "v2", "id").unwrap() else { panic!() };
        let ok = |objects: Value| {
            json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response":
            {"uid": "id", "result": {"status": "Success"}, "convertedObjects": objects}})
        };
        let mut other = object("v2");
        other["metadata"]["name"] = json!("b");
        for (response, expected) in [
            (
                json!({}),
                "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind=",
            ),
            (ok(json!([])), "returned 0 objects, expected 1"),
            (
                ok(json!([object("v1")])),
                "returned invalid object at index 0: invalid groupVersion (expected g.io/v2, received g.io/v1)",
            ),
            (ok(json!([other])), "returned invalid object: must have the same name: a != b"),
            (
                ok(json!([{"apiVersion": "g.io/v2", "kind": "Bar"}])),
                "returned invalid object at index 0: invalid kind (expected Foo, received Bar)",
            ),
            (
                json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response":
                    {"uid": "id", "result": {"status": "Failed", "message": "boom"}}}),
                "failed: boom",
            ),
            (
                json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": {"uid": "x"}}),
                "failed: expected response.uid=\"id\", got \"x\"",
            ),
        ] {
            let error = review.clone().finish(&response).unwrap_err().to_string();
            assert_eq!(error, format!("conversion webhook for g.io/v1, Kind=Foo {expected}"));
        }
    }
}
