//! Requests that are sound as they are, in each form that the API reads.

use anyhow::{Result, ensure};
use kube_object::cbor;
use serde_json::{Value, json};

use crate::connection::Pool;
use crate::objects;

/// A form that a body comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Objects and options as JSON.
    Json,
    /// Objects as YAML.
    Yaml,
    /// Objects as protobuf.
    Protobuf,
    /// Objects as CBOR.
    Cbor,
    /// RFC 6902.
    JsonPatch,
    /// RFC 7386.
    MergePatch,
    /// Kubernetes' own merge.
    StrategicPatch,
    /// Server-side apply.
    Apply,
    /// The same as CBOR.
    ApplyCbor,
}

impl Content {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Json,
        Self::Yaml,
        Self::Protobuf,
        Self::Cbor,
        Self::JsonPatch,
        Self::MergePatch,
        Self::StrategicPatch,
        Self::Apply,
        Self::ApplyCbor,
    ];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
            Self::Cbor => "application/cbor",
            Self::JsonPatch => "application/json-patch+json",
            Self::MergePatch => "application/merge-patch+json",
            Self::StrategicPatch => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
            Self::ApplyCbor => "application/apply-patch+cbor",
        }
    }
}

/// A sound request.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Its method.
    pub method: &'static str,
    /// Its path and query.
    pub path: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Seed {
    /// One that changes nothing.
    fn dry(method: &'static str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        let join = if path.contains('?') { '&' } else { '?' };
        Self { method, path: format!("{path}{join}dryRun=All"), body: body.into() }
    }
}

/// The namespace that everything happens in.
pub const NAMESPACE: &str = "wild";

const BOXES: &str = "/apis/example.com/v1/namespaces/wild/boxes";
const WEB: &str = "/apis/apps/v1/namespaces/wild/deployments/filled";
const POD: &str = "/api/v1/namespaces/wild/pods/filled";
const ACCOUNT: &str = "/api/v1/namespaces/wild/serviceaccounts/default";

/// Makes what the seeds need.
pub async fn prepare(server: &Pool) -> Result<()> {
    let definition: Value = serde_json::from_str(include_str!("box.json"))?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    create(server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await?;
    create(server, "/api/v1/namespaces", &namespace).await?;
    until(server, "GET", ACCOUNT, "").await?;
    until(server, "POST", BOXES, &custom().to_string()).await?;
    for (api_version, kind) in [("apps/v1", "Deployment"), ("v1", "Pod"), ("v1", "Service"), ("v1", "Node")] {
        let object = objects::of(api_version, kind)?;
        create(server, &objects::collection(objects::kind_of(&object)?, NAMESPACE), &object).await?;
    }
    Ok(())
}

async fn create(server: &Pool, path: &str, object: &Value) -> Result<()> {
    let headers = [("content-type", Content::Json.media_type())];
    let answer = server.send("POST", path, &headers, object.to_string()).await?;
    ensure!(answer.code == 201, "POST {path}: {} {}", answer.code, answer.text());
    Ok(())
}

/// Sends a request until it is answered with success: its resource is only just being served.
async fn until(server: &Pool, method: &str, path: &str, body: &str) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let headers = [("content-type", Content::Json.media_type())];
        let answer = server.send(method, path, &headers, body.to_owned()).await?;
        if answer.code < 300 {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < deadline, "{method} {path}: {} {}", answer.code, answer.text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Sound requests in a form; all are answered with success.
pub async fn seeds(server: &Pool, content: Content) -> Result<Vec<Seed>> {
    let mut seeds = match content {
        Content::Json => {
            let mut seeds = creations()?;
            seeds.extend(others());
            seeds.extend(lasting()?);
            seeds
        }
        Content::Yaml | Content::Protobuf | Content::Cbor => {
            let mut seeds = Vec::new();
            for seed in creations()? {
                // Custom objects have no protobuf, and a job's labels bear its first uid.
                let custom = seed.path.starts_with(BOXES) && content == Content::Protobuf;
                if !custom && !seed.path.contains("/jobs?") {
                    seeds.push(translated(server, seed, content).await?);
                }
            }
            seeds
        }
        Content::JsonPatch => json_patches(),
        Content::MergePatch => merge_patches()?,
        Content::StrategicPatch => strategic_patches()?,
        Content::Apply => applies()?,
        Content::ApplyCbor => applies()?.into_iter().map(in_cbor).collect::<Result<_>>()?,
    };
    // A kind whose maker is off in this release is not served.
    let (mut sound, mut unsound) = (Vec::new(), String::new());
    for seed in seeds.drain(..) {
        let headers = [("content-type", content.media_type())];
        let answer = server.send(seed.method, &seed.path, &headers, seed.body.clone()).await?;
        if answer.code == 404 {
            continue;
        }
        if answer.code >= 300 {
            unsound += &format!("{} {}: {} {}\n", seed.method, seed.path, answer.code, answer.text());
        }
        sound.push(seed);
    }
    ensure!(unsound.is_empty(), "{unsound}");
    ensure!(!sound.is_empty(), "no seed of {content:?} is served");
    Ok(sound)
}

/// The seed's object as the server writes it in another form.
async fn translated(server: &Pool, mut seed: Seed, content: Content) -> Result<Seed> {
    let headers = [("content-type", Content::Json.media_type()), ("accept", content.media_type())];
    let answer = server.send(seed.method, &seed.path, &headers, seed.body).await?;
    seed.body = answer.body.to_vec();
    Ok(seed)
}

fn in_cbor(mut seed: Seed) -> Result<Seed> {
    seed.body = cbor::encode(&serde_json::from_slice(&seed.body)?);
    Ok(seed)
}

fn custom() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "a"},
        "spec": {"size": 3, "note": "x", "any": {"deep": [1, {"er": null}]}, "port": "80", "tags": ["a", "b"],
            "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "e"}},
            "parts": [{"name": "one"}, {"name": "two"}]}})
}

/// One of each kind, without effect.
fn creations() -> Result<Vec<Seed>> {
    let mut all = Vec::new();
    for mut object in objects::all()? {
        object["metadata"]["name"] =
            json!(format!("{}-2", object["metadata"]["name"].as_str().unwrap_or("a")));
        let named = match object["kind"].as_str() {
            Some("APIService") => "v9.filled.example.com",
            Some("CustomResourceDefinition") => "filleds.example.com",
            Some("IPAddress") => "10.2.0.9",
            _ => "",
        };
        if !named.is_empty() {
            object["metadata"]["name"] = json!(named);
        }
        let path = objects::collection(objects::kind_of(&object)?, NAMESPACE);
        all.push(Seed::dry("POST", &path, object.to_string()));
    }
    let mut custom = custom();
    custom["metadata"]["name"] = json!("b");
    all.push(Seed::dry("POST", BOXES, custom.to_string()));
    Ok(all)
}

/// Bodies that are no objects of a collection.
fn others() -> Vec<Seed> {
    let review = |path: &str, kind: &str, spec: Value| {
        let api_version = path.trim_start_matches("/apis/").rsplit_once('/').map_or("", |(group, _)| group);
        let body = json!({"apiVersion": api_version, "kind": kind, "spec": spec});
        Seed { method: "POST", path: path.to_owned(), body: body.to_string().into_bytes() }
    };
    let attributes = json!({"namespace": "wild", "verb": "get", "resource": "pods", "group": "", "name": "a",
        "labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}});
    vec![
        review("/apis/authentication.k8s.io/v1/tokenreviews", "TokenReview", json!({"token": "a.b.c", "audiences": ["x"]})),
        review("/apis/authorization.k8s.io/v1/subjectaccessreviews", "SubjectAccessReview",
            json!({"user": "u", "groups": ["g"], "extra": {"k": ["v"]}, "resourceAttributes": attributes})),
        review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "SelfSubjectAccessReview",
            json!({"nonResourceAttributes": {"path": "/x", "verb": "get"}})),
        review("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "SelfSubjectRulesReview", json!({"namespace": "wild"})),
        Seed::dry("POST", &format!("{ACCOUNT}/token"), json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": ["a"], "expirationSeconds": 3600}}).to_string()),
        Seed::dry("PUT", &format!("{WEB}/scale"), json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "filled", "namespace": NAMESPACE}, "spec": {"replicas": 3}}).to_string()),
        Seed::dry("POST", &format!("{POD}/eviction"), json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "filled", "namespace": NAMESPACE}, "deleteOptions": {"gracePeriodSeconds": 0}}).to_string()),
        Seed::dry("POST", &format!("{POD}/binding"), json!({"apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": "filled"}, "target": {"kind": "Node", "name": "filled-node"}}).to_string()),
        Seed::dry("DELETE", POD, json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1,
            "propagationPolicy": "Foreground", "dryRun": ["All"]}).to_string()),
        Seed::dry("DELETE", "/api/v1/namespaces/wild/configmaps?labelSelector=a%3Db", json!({"apiVersion": "v1",
            "kind": "DeleteOptions", "orphanDependents": true, "dryRun": ["All"]}).to_string()),
    ]
}

/// Creations that last, under names that the server makes: of kinds that nothing is done for.
fn lasting() -> Result<Vec<Seed>> {
    let mut all = Vec::new();
    let mut custom = custom();
    let kinds =
        [("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "PodTemplate"), ("coordination.k8s.io/v1", "Lease")];
    for (api_version, kind) in kinds {
        let mut object = objects::of(api_version, kind)?;
        let path = objects::collection(objects::kind_of(&object)?, NAMESPACE);
        object["metadata"] = json!({"generateName": "w-"});
        all.push(Seed { method: "POST", path, body: object.to_string().into_bytes() });
    }
    custom["metadata"] = json!({"generateName": "w-"});
    all.push(Seed { method: "POST", path: BOXES.to_owned(), body: custom.to_string().into_bytes() });
    Ok(all)
}

fn json_patches() -> Vec<Seed> {
    let web = json!([{"op": "test", "path": "/spec/replicas", "value": 0},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "b", "image": "b"}},
        {"op": "copy", "from": "/metadata/labels/app", "path": "/spec/template/metadata/labels/x~1y"},
        {"op": "move", "from": "/metadata/annotations/example.com~1note", "path": "/metadata/annotations/n2"},
        {"op": "replace", "path": "/spec/replicas", "value": 3}, {"op": "remove", "path": "/metadata/labels/app"}]);
    let custom = json!([{"op": "add", "path": "/spec/parts/0", "value": {"name": "zero"}},
        {"op": "copy", "from": "/spec", "path": "/spec/any/deep/1"}, {"op": "move", "from": "/spec/any/deep", "path": "/spec/any/d"},
        {"op": "test", "path": "/spec/parts/0/name", "value": "zero"}, {"op": "remove", "path": "/spec/any"}]);
    let status = json!([{"op": "add", "path": "/status/conditions", "value": [{"type": "Ready", "status": "True"}]},
        {"op": "add", "path": "/status/phase", "value": "Running"}]);
    vec![
        Seed::dry("PATCH", WEB, web.to_string()),
        Seed::dry("PATCH", &format!("{BOXES}/a"), custom.to_string()),
        Seed::dry("PATCH", &format!("{POD}/status"), status.to_string()),
    ]
}

fn merge_patches() -> Result<Vec<Seed>> {
    let merge = json!({"metadata": {"finalizers": ["example.com/f"], "ownerReferences": []},
        "spec": {"size": 4, "note": null, "any": {"deep": {"a": null, "b": {"c": []}}}}});
    let status = json!({"status": {"phase": "Running", "podIPs": [{"ip": "10.1.1.1"}], "conditions": null}});
    let mut pod = objects::of("v1", "Pod")?;
    pod["spec"]["containers"][0]["image"] = json!("web:2");
    Ok(vec![
        Seed::dry("PATCH", WEB, objects::of("apps/v1", "Deployment")?.to_string()),
        Seed::dry("PATCH", &format!("{BOXES}/a"), merge.to_string()),
        Seed::dry("PATCH", &format!("{BOXES}/a"), custom().to_string()),
        Seed::dry("PATCH", &format!("{POD}/status"), status.to_string()),
        Seed::dry("PATCH", &format!("{WEB}/scale"), json!({"spec": {"replicas": 2}}).to_string()),
    ])
}

fn strategic_patches() -> Result<Vec<Seed>> {
    let directives = json!({"metadata": {"labels": {"$patch": "replace", "z": "y"}, "$deleteFromPrimitiveList/finalizers": ["y"]},
        "spec": {"$retainKeys": ["replicas", "selector", "template", "paused"], "template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "main"}],
            "containers": [{"name": "b", "image": "b"}, {"name": "main", "$patch": "delete"}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}}});
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "x", "$patch": "delete"}],
        "$setElementOrder/conditions": [{"type": "Ready"}]}});
    Ok(vec![
        Seed::dry("PATCH", WEB, directives.to_string()),
        Seed::dry("PATCH", WEB, objects::of("apps/v1", "Deployment")?.to_string()),
        Seed::dry("PATCH", &format!("{POD}/status"), status.to_string()),
        Seed::dry(
            "PATCH",
            "/api/v1/namespaces/wild/services/filled",
            objects::of("v1", "Service")?.to_string(),
        ),
        Seed::dry("PATCH", "/api/v1/nodes/filled-node", objects::of("v1", "Node")?.to_string()),
    ])
}

fn applies() -> Result<Vec<Seed>> {
    let manager = "fieldManager=m&force=true";
    let mut seeds = vec![
        Seed::dry("PATCH", &format!("{WEB}?{manager}"), objects::of("apps/v1", "Deployment")?.to_string()),
        Seed::dry("PATCH", &format!("{BOXES}/a?{manager}"), custom().to_string()),
    ];
    for (api_version, kind) in [
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
        ("batch/v1", "Job"),
        ("apps/v1", "StatefulSet"),
    ] {
        let object = objects::of(api_version, kind)?;
        let path = objects::collection(objects::kind_of(&object)?, NAMESPACE);
        seeds.push(Seed::dry("PATCH", &format!("{path}/filled?{manager}"), object.to_string()));
    }
    let status = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "filled"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "10.1.1.1"}]}});
    seeds.push(Seed::dry("PATCH", &format!("{POD}/status?{manager}"), status.to_string()));
    Ok(seeds)
}
