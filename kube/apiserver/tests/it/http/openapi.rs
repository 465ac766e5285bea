//! The version 2 document in protobuf, read by a decoder that is not ours.

use std::collections::BTreeMap;
use std::io::Read as _;

use prost::Message;
use serde_json::Value;

use super::Front;

/// A part of gnostic's `openapi.v2.Document`: what kubectl reads of it.
#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<Schemas>,
    #[prost(message, optional, tag = "13")]
    security: Option<SecurityDefinitions>,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    all: Vec<NamedPath>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPath {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    item: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
    #[prost(message, repeated, tag = "9")]
    parameters: Vec<ParametersItem>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, tag = "5")]
    id: String,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, optional, tag = "1")]
    body: Option<Body>,
    #[prost(message, optional, tag = "2")]
    other: Option<OtherParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct OtherParameter {
    #[prost(message, optional, tag = "3")]
    query: Option<Query>,
    #[prost(message, optional, tag = "4")]
    path: Option<Path>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    kind: String,
    #[prost(bool, tag = "20")]
    unique: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Path {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    codes: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponse {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

#[derive(Clone, PartialEq, Message)]
struct Schemas {
    #[prost(message, repeated, tag = "1")]
    all: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    values: Vec<Any>,
    #[prost(message, optional, tag = "21")]
    additional: Option<SchemaItem>,
    #[prost(message, optional, tag = "22")]
    kind: Option<Texts>,
    #[prost(message, optional, boxed, tag = "23")]
    items: Option<Box<Items>>,
    #[prost(message, optional, tag = "25")]
    properties: Option<Schemas>,
    #[prost(message, repeated, tag = "31")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    all: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

#[derive(Clone, PartialEq, Message)]
struct SecurityDefinitions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<NamedSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSecurity {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Security>,
}

#[derive(Clone, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "2")]
    api_key: Option<ApiKey>,
}

#[derive(Clone, PartialEq, Message)]
struct ApiKey {
    #[prost(string, tag = "1")]
    kind: String,
}

impl Schema {
    fn property(&self, name: &str) -> &Schema {
        let all = &self.properties.as_ref().unwrap().all;
        all.iter().find(|property| property.name == name).unwrap().value.as_ref().unwrap()
    }

    /// The same as JSON, as far as this reader goes.
    fn to_json(&self) -> Value {
        let mut out = serde_json::Map::new();
        let texts = [("$ref", &self.reference), ("format", &self.format), ("description", &self.description)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            out.insert(name.to_owned(), text.as_str().into());
        }
        if let Some(kind) = &self.kind {
            out.insert("type".to_owned(), kind.all[0].as_str().into());
        }
        if !self.required.is_empty() {
            out.insert("required".to_owned(), self.required.clone().into());
        }
        if let Some(additional) = &self.additional {
            let schema = additional.schema.as_ref().unwrap().to_json();
            out.insert("additionalProperties".to_owned(), schema);
        }
        if let Some(items) = &self.items {
            out.insert("items".to_owned(), items.all[0].to_json());
        }
        if let Some(properties) = &self.properties {
            let all = properties.all.iter();
            let all = all.map(|one| (one.name.clone(), one.value.as_ref().unwrap().to_json()));
            out.insert("properties".to_owned(), Value::Object(all.collect()));
        }
        if !self.values.is_empty() {
            out.insert("enum".to_owned(), self.values.iter().map(Any::value).collect());
        }
        for extension in &self.extensions {
            out.insert(extension.name.clone(), extension.value.as_ref().unwrap().value());
        }
        Value::Object(out)
    }
}

impl Any {
    fn value(&self) -> Value {
        kube_object::yaml::read(self.yaml.as_bytes()).unwrap().value
    }
}

const DOTS: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const AT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

#[tokio::test]
async fn version_2_is_the_same_in_protobuf() {
    let front = Front::new().await;
    let json = front.get("/openapi/v2").await;
    let answer = front.get_with("/openapi/v2", &[("accept", AT)]).await;
    assert_eq!((answer.header("content-type"), answer.header("etag")), (DOTS, json.header("etag")));
    let document = Document::decode(&answer.body[..]).unwrap();
    let json = json.json();
    assert_eq!(document.swagger, "2.0");
    let scheme = document.security.unwrap().all[0].clone();
    assert_eq!(
        (scheme.name.as_str(), scheme.value.unwrap().api_key.unwrap().kind.as_str()),
        ("BearerToken", "apiKey")
    );

    let definitions = document.definitions.unwrap().all;
    let definitions: BTreeMap<&str, &Schema> =
        definitions.iter().map(|one| (one.name.as_str(), one.value.as_ref().unwrap())).collect();
    let expected = json["definitions"].as_object().unwrap();
    assert_eq!(definitions.len(), expected.len());
    for (name, schema) in expected {
        assert_eq!(definitions[name.as_str()].to_json(), *schema, "{name}");
    }
    let spec = definitions["io.k8s.api.core.v1.PodSpec"];
    let key =
        spec.property("containers").extensions.iter().find(|one| one.name == "x-kubernetes-patch-merge-key");
    assert_eq!(key.unwrap().value.as_ref().unwrap().yaml, "name\n");

    let paths = document.paths.unwrap().all;
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let pod = paths.iter().find(|path| path.name == "/api/v1/namespaces/{namespace}/pods/{name}").unwrap();
    check_pod(pod.item.as_ref().unwrap());
    front.end().await;
}

fn check_pod(item: &PathItem) {
    let of_path = |one: &ParametersItem| {
        let path = one.parameter.as_ref()?.other.as_ref()?.path.as_ref()?;
        Some((path.name.clone(), path.kind.clone(), path.required))
    };
    let parameters: Vec<_> = item.parameters.iter().filter_map(of_path).collect();
    assert!(parameters.contains(&("namespace".to_owned(), "string".to_owned(), true)), "{parameters:?}");
    let patch = item.patch.as_ref().unwrap();
    assert_eq!(patch.id, "patchCoreV1NamespacedPod");
    assert!(patch.consumes.iter().any(|one| one == "application/strategic-merge-patch+json"));
    let parameters: Vec<&Parameter> =
        patch.parameters.iter().map(|one| one.parameter.as_ref().unwrap()).collect();
    let body = parameters.iter().find_map(|one| one.body.as_ref()).unwrap();
    assert!((body.name.as_str(), body.required) == ("body", true) && body.schema.is_some());
    let query = |one: &&Parameter| one.other.as_ref()?.query.clone();
    let query: Vec<Query> = parameters.iter().filter_map(query).collect();
    let dry_run = query.iter().find(|one| one.name == "dryRun").unwrap();
    assert!(dry_run.kind == "string" && dry_run.unique);
    let gvk = patch.extensions.iter().find(|one| one.name == "x-kubernetes-group-version-kind").unwrap();
    assert_eq!(gvk.value.as_ref().unwrap().yaml, "group: \"\"\nkind: Pod\nversion: v1\n");
    let codes = &item.get.as_ref().unwrap().responses.as_ref().unwrap().codes;
    let ok = codes.iter().find(|one| one.name == "200").unwrap().value.clone().unwrap().response.unwrap();
    assert_eq!(ok.description, "OK");
    let schema = ok.schema.unwrap().schema.unwrap();
    assert_eq!(schema.reference, "#/definitions/io.k8s.api.core.v1.Pod");
}

#[tokio::test]
async fn the_form_of_version_2_is_the_client_s_choice() {
    let front = Front::new().await;
    let both = format!("{DOTS};q=0.5, application/json;q=0.4");
    for (accept, expected) in [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        (DOTS, DOTS),
        (AT, DOTS),
        (&both, DOTS),
    ] {
        let answer = front.get_with("/openapi/v2", &[("accept", accept)]).await;
        assert_eq!((answer.code, answer.header("content-type")), (200, expected), "{accept}");
    }
    assert_eq!(front.get_with("/openapi/v2", &[("accept", "text/html")]).await.code, 406);
    let plain = front.get_with("/openapi/v2", &[("accept", DOTS)]).await;
    let packed = front.get_with("/openapi/v2", &[("accept", DOTS), ("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let known = [("accept", DOTS), ("if-none-match", plain.header("etag"))];
    assert_eq!(front.get_with("/openapi/v2", &known).await.code, 304);
    front.end().await;
}
