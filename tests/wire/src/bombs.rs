//! Bodies that no mutation finds: small ones that want to become large, deep ones, long ones, and
//! expressions that want to take long.

use std::io::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::seeds::{Content, NAMESPACE};

/// A request that means harm.
#[derive(Clone, Debug)]
pub struct Bomb {
    /// What it is.
    pub name: &'static str,
    /// Its method.
    pub method: &'static str,
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Levels of what is too deep.
const LEVELS: usize = 100_000;
/// Nearly as long as a body may be.
const LONG: usize = 2_900_000;
/// So many keys in one object.
const KEYS: usize = 100_000;

/// All of them.
pub fn all() -> Result<Vec<Bomb>> {
    let mut all = Vec::new();
    for body in anywhere() {
        for content in Content::ALL {
            all.push(body.clone().sent_as(*content));
        }
    }
    all.extend(yaml());
    all.extend(protobuf());
    all.extend(cbor());
    all.extend(empty_items());
    all.extend(patches());
    all.extend(long_fields());
    all.extend(expressions());
    all.push(gzip()?);
    Ok(all)
}

/// Bodies that are sent in every form.
fn anywhere() -> Vec<Text> {
    let text = |name, body: String| Text { name, body: body.into_bytes() };
    let field = |name, inner: &str| {
        let head =
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"bomb\"},\"data\":{\"a\":";
        text(name, format!("{head}{inner}}}}}"))
    };
    vec![
        text("nothing", String::new()),
        text("null", "null".to_owned()),
        text("open lists", "[".repeat(LEVELS)),
        text("open objects", "{\"a\":".repeat(LEVELS)),
        text("deep lists", format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS))),
        field("deep objects in a field", &format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS))),
        field("a number of 100,000 digits", &"9".repeat(LEVELS)),
        field("a number beyond all", "1e999999999"),
        field("a long string", &format!("\"{}\"", "x".repeat(LONG))),
        field("a string of escapes", &format!("\"{}\"", "\\u0000".repeat(LONG / 6))),
        field("a long list", &format!("[{}1]", "1,".repeat(LONG / 2))),
        field("a list of lists", &format!("[{}[]]", "[],".repeat(LONG / 3))),
        field("a list of objects", &format!("[{}{{}}]", "{\"\":0},".repeat(LONG / 7))),
        field("a body over the limit", &format!("\"{}\"", "x".repeat(4 << 20))),
        text("one key again and again", format!("{{{}\"z\":1}}", "\"a\":1,".repeat(LONG / 6))),
        text("many keys", many_keys()),
        text("bad UTF-8", "{\"a\":\"\u{0}".to_owned()),
        Text { name: "no UTF-8", body: [b"{\"kind\":\"".as_slice(), &[0xff; 1000], b"\"}"].concat() },
        Text {
            name: "UTF-16",
            body: "{\"kind\":\"Pod\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        },
    ]
}

#[derive(Clone)]
struct Text {
    name: &'static str,
    body: Vec<u8>,
}

impl Text {
    fn sent_as(self, content: Content) -> Bomb {
        self.sent_to("configmaps", content)
    }

    fn sent_to(self, plural: &str, content: Content) -> Bomb {
        let object = "/apis/apps/v1/namespaces/wild/deployments/filled";
        let (method, path) = match content {
            Content::Json | Content::Yaml | Content::Protobuf | Content::Cbor => {
                ("POST", format!("/api/v1/namespaces/{NAMESPACE}/{plural}?dryRun=All"))
            }
            Content::Apply | Content::ApplyCbor => {
                ("PATCH", format!("{object}?dryRun=All&fieldManager=m&force=true"))
            }
            _ => ("PATCH", format!("{object}?dryRun=All")),
        };
        Bomb {
            name: self.name,
            method,
            path,
            headers: vec![("content-type", content.media_type())],
            body: self.body,
        }
    }
}

fn many_keys() -> String {
    let fields: Vec<String> = (0..KEYS).map(|at| format!("\"k{at}\":{{}}")).collect();
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"bomb\"}},{}}}",
        fields.join(",")
    )
}

fn yaml() -> Vec<Bomb> {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n";
    let mut aliases = format!("{head}a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let each = vec![format!("*a{}", level - 1); 9].join(",");
        aliases += &format!("a{level}: &a{level} [{each}]\n");
    }
    let long: String =
        format!("{head}a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 50_000].join(","));
    let merges: String = format!("{head}a: &a {{k: v}}\n{}", "b: {<<: [*a, *a, *a, *a]}\n".repeat(20_000));
    let anchors: String = (0..100_000).map(|at| format!("- &a{at} x\n")).collect();
    // Each anchor holds all that is inside of it.
    let nested: String = (0..110).map(|at| format!("{{k: &a{at} ")).collect::<String>()
        + &"x".repeat(100_000)
        + &"}".repeat(110);
    let texts = [
        ("aliases of aliases", aliases),
        ("an alias of a long string", long),
        ("merges", merges),
        ("anchors", anchors),
        ("anchors in anchors", nested),
        ("deep block lists", "- ".repeat(LEVELS)),
        ("deep block maps", (0..1500).map(|level| format!("{}a:\n", " ".repeat(level))).collect()),
        ("anchors of nothing", "&a ".repeat(LEVELS)),
        ("keys of keys", "? ".repeat(LEVELS)),
        ("tags", "!".repeat(LEVELS)),
        ("a tag of a tag", "!<".repeat(LEVELS)),
        ("documents", "---\n".repeat(LEVELS)),
        ("directives", "%YAML 1.2\n".repeat(LEVELS)),
        ("one key, line by line", "a: 1\n".repeat(LONG / 5)),
        ("many short lines", "- 1\n".repeat(LONG / 4)),
        ("one key in braces", format!("{head}data: {{{}a: 1}}\n", "a: 1, ".repeat(LONG / 6))),
        ("brackets behind a tag", format!("--- !!seq [{}]\n", "1, ".repeat(LONG / 3))),
        ("brackets behind a text", format!("? 'it''s {{\n  '\n: [{}]\n", "1, ".repeat(LONG / 3))),
        ("open flow", "{a: [".repeat(LEVELS)),
        ("a quoted line", format!("a: \"{}", "\\\n ".repeat(LEVELS))),
        ("a plain line", format!("a: {}", "x: ".repeat(LEVELS))),
        ("indentation", format!("a:\n{}b: c", " ".repeat(LONG))),
        ("commas", format!("a: [{}]", ",".repeat(LEVELS))),
        ("comments", "#\n".repeat(LONG / 2)),
    ];
    let forms = |(name, text): (&'static str, String)| {
        let text = Text { name, body: text.into_bytes() };
        [text.clone().sent_as(Content::Yaml), text.sent_as(Content::Apply)]
    };
    texts.into_iter().flat_map(forms).collect()
}

fn cbor() -> Vec<Bomb> {
    let announced = |first: u8| [vec![first], vec![0xff; 8], vec![0; LEVELS]].concat();
    let many = |item: &[u8]| [vec![0x9f], item.repeat(LONG / item.len()), vec![0xff]].concat();
    let bodies = [
        ("lists in lists", vec![0x81; LONG]),
        ("lists without a length", vec![0x9f; LONG]),
        ("objects in objects", b"\xa1\x41a".repeat(LONG / 3)),
        ("tags of tags", vec![0xc6; LONG]),
        ("a huge string", announced(0x5b)),
        ("a huge list", announced(0x9b)),
        ("a huge object", announced(0xbb)),
        ("a string in pieces", [vec![0x5f], vec![0x40; LONG], vec![0xff]].concat()),
        ("empty objects", many(&[0xa0])),
        ("small objects", many(b"\xa1\x40\x00")),
        ("numbers", many(&[0])),
        ("half numbers", many(&[0xf9, 0x3c, 0])),
    ];
    let forms = |(name, body)| {
        let text = Text { name, body };
        [text.clone().sent_as(Content::Cbor), text.sent_as(Content::ApplyCbor)]
    };
    bodies.into_iter().flat_map(forms).collect()
}

fn protobuf() -> Vec<Bomb> {
    let envelope = |kind: &str, raw: &[u8]| {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
    };
    let mut deep = Vec::new();
    while deep.len() < 200_000 {
        deep = field(1, &deep);
    }
    // An object inside of an object inside of an object: raw extensions with envelopes of their own.
    let mut nested = envelope("ConfigMap", b"");
    for _ in 0..500 {
        nested = envelope("List", &field(2, &field(1, &nested)));
    }
    let json = [envelope("ConfigMap", "[".repeat(LEVELS).as_bytes()), field(4, b"application/json")].concat();
    let many = field(2, &[field(1, b"k"), field(2, b"v")].concat()).repeat(200_000);
    let distinct: Vec<u8> = (0..KEYS).flat_map(|at| field(2, &field(1, at.to_string().as_bytes()))).collect();
    let bodies = [
        ("magic alone", b"k8s\0".to_vec()),
        ("tags without end", [b"k8s\0".as_slice(), &[0x0a; 500_000]].concat()),
        (
            "a length beyond all",
            [b"k8s\0".as_slice(), &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]].concat(),
        ),
        ("a varint without end", [b"k8s\0".as_slice(), &[0xff; 100_000]].concat()),
        ("groups", [b"k8s\0".as_slice(), &[0x0b; 100_000]].concat()),
        ("deep messages", envelope("ConfigMap", &deep)),
        ("envelopes in envelopes", nested),
        ("deep JSON in an envelope", json),
        ("one entry again and again", envelope("ConfigMap", &many)),
        ("many entries", envelope("ConfigMap", &distinct)),
        ("many unknown fields", envelope("ConfigMap", &field(99, b"").repeat(900_000))),
        (
            "fields that take turns",
            envelope("ConfigMap", &[field(98, b""), field(99, b"")].concat().repeat(450_000)),
        ),
    ];
    let bomb = |(name, body)| Text { name, body }.sent_as(Content::Protobuf);
    // What is decoded of each gets its defaults.
    let pods = [
        ("many empty volumes", envelope("Pod", &field(2, &field(1, b"").repeat(900_000)))),
        ("many empty containers", envelope("Pod", &field(2, &field(2, b"").repeat(900_000)))),
        ("many conditions", envelope("Pod", &field(3, &field(2, b"").repeat(900_000)))),
    ];
    let pod = |(name, body)| Text { name, body }.sent_to("pods", Content::Protobuf);
    bodies.into_iter().map(bomb).chain(pods.into_iter().map(pod)).collect()
}

/// Items of a pod's lists that are next to nothing until they get their defaults.
fn empty_items() -> Vec<Bomb> {
    let pod = |list: &str| {
        let items = "{},".repeat(LONG / 3);
        format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"bomb\"}},\"spec\":{{\"{list}\":[{items}{{}}]}}}}"
        )
    };
    let lists = [
        ("empty containers", "containers"),
        ("empty volumes", "volumes"),
        ("empty tolerations", "tolerations"),
    ];
    let text = |(name, list)| Text { name, body: pod(list).into_bytes() };
    let forms = |text: Text| [Content::Json, Content::Yaml].map(|form| text.clone().sent_to("pods", form));
    lists.into_iter().map(text).flat_map(forms).collect()
}

/// A field with a length.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend_from_slice(bytes);
    out
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn patches() -> Vec<Bomb> {
    let steps = |step: Value, times: usize| Value::Array(vec![step; times]).to_string();
    let double = json!({"op": "copy", "from": "/metadata/annotations", "path": "/metadata/annotations/x"});
    let mut nest = "{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}".to_owned();
    for _ in 0..110 {
        nest = format!("{{\"spec\":{nest}}}");
    }
    let order: Vec<Value> = (0..50_000).map(|at| json!({"name": format!("n{at}")})).collect();
    let list =
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": order, "containers": order}}}});
    let sets = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": vec!["x"; 200_000], "finalizers": vec!["x"; 200_000]}});
    let moves = json!([{"op": "add", "path": "/metadata/annotations/b", "value": {}}, {"op": "move", "from": "/spec", "path": "/metadata/annotations/b/x"},
        {"op": "move", "from": "/metadata/annotations/b", "path": "/spec"}]);
    let moves: Vec<&Value> = moves.as_array().into_iter().flatten().cycle().take(9_999).collect();
    let front = json!({"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "x"}});
    let texts = [
        (Content::JsonPatch, "copies that double", steps(double.clone(), 40)),
        (
            Content::JsonPatch,
            "copies of the whole",
            steps(json!({"op": "copy", "from": "", "path": "/metadata/annotations/y"}), 9_999),
        ),
        (Content::JsonPatch, "operations", steps(double, 20_000)),
        (Content::JsonPatch, "moves into each other", json!(moves).to_string()),
        (Content::JsonPatch, "insertions at the front", steps(front, 9_999)),
        (
            Content::JsonPatch,
            "a long pointer",
            json!([{"op": "remove", "path": "/a".repeat(LONG / 2)}]).to_string(),
        ),
        (
            Content::JsonPatch,
            "tests of the whole",
            steps(json!({"op": "test", "path": "", "value": {"a": [1, 2, 3]}}), 9_999),
        ),
        (Content::MergePatch, "deep merge", nest.clone()),
        (Content::StrategicPatch, "deep strategic merge", nest),
        (Content::StrategicPatch, "a long order", list.to_string()),
        (Content::StrategicPatch, "long sets", sets.to_string()),
    ];
    let bomb =
        |(content, name, text): (Content, _, String)| Text { name, body: text.into_bytes() }.sent_as(content);
    texts.into_iter().map(bomb).collect()
}

/// Fields of sound types with too much in them.
fn long_fields() -> Vec<Bomb> {
    let mut all = Vec::new();
    for (name, object) in long_metadata().into_iter().chain(long_specs()) {
        let Ok(kind) = crate::objects::kind_of(&object) else { continue };
        let collection = crate::objects::collection(kind, NAMESPACE);
        let (create, apply) = (
            format!("{collection}?dryRun=All"),
            format!("{collection}/bomb?dryRun=All&fieldManager=m&force=true"),
        );
        let body = object.to_string().into_bytes();
        let headers = |content: Content| vec![("content-type", content.media_type())];
        all.push(Bomb {
            name,
            method: "POST",
            path: create,
            headers: headers(Content::Json),
            body: body.clone(),
        });
        all.push(Bomb { name, method: "PATCH", path: apply, headers: headers(Content::Apply), body });
    }
    all
}

fn long_metadata() -> Vec<(&'static str, Value)> {
    let keys = |value: Value| -> Value { (0..KEYS).map(|at| (format!("k{at}"), value.clone())).collect() };
    let bad_keys: Value =
        (0..30_000).map(|at| (format!("-{at}/ /x"), json!("y z"))).collect::<serde_json::Map<_, _>>().into();
    let configmap = |metadata: Value, rest: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        object["metadata"]["name"] = json!("bomb");
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    };
    let fields: Value =
        (0..50_000).map(|at| (format!("f:k{at}"), json!({}))).collect::<serde_json::Map<_, _>>().into();
    let owner = |at: usize| {
        json!({"manager": format!("m{at}"), "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:a": {}}}})
    };
    let owners: Vec<Value> = (0..10_000).map(owner).collect();
    let mut one_owner = owner(0);
    one_owner["fieldsV1"] = json!({"f:data": fields});
    let references: Vec<Value> =
        vec![json!({"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}); 20_000];
    vec![
        ("many labels", configmap(json!({"labels": keys(json!("v"))}), json!({}))),
        ("many bad labels", configmap(json!({"labels": bad_keys, "annotations": bad_keys}), json!({}))),
        ("many annotations", configmap(json!({"annotations": keys(json!("v"))}), json!({}))),
        ("much data", configmap(json!({}), json!({"data": keys(json!("v"))}))),
        ("much bad data", configmap(json!({}), json!({"data": bad_keys}))),
        (
            "data twice",
            configmap(json!({}), json!({"data": keys(json!("v")), "binaryData": keys(json!(""))})),
        ),
        ("many managers", configmap(json!({"managedFields": owners}), json!({"data": {"a": "b"}}))),
        (
            "a manager of much",
            configmap(json!({"managedFields": [one_owner]}), json!({"data": keys(json!("v"))})),
        ),
        ("many owners", configmap(json!({"ownerReferences": references}), json!({}))),
        (
            "many finalizers",
            configmap(
                json!({"finalizers": (0..50_000).map(|at| format!("x/y{at}")).collect::<Vec<_>>()}),
                json!({}),
            ),
        ),
    ]
}

fn long_specs() -> Vec<(&'static str, Value)> {
    let keys = |value: Value| -> Value { (0..KEYS).map(|at| (format!("k{at}"), value.clone())).collect() };
    let configmap = |metadata: Value, rest: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        object["metadata"]["name"] = json!("bomb");
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    };
    let pod =
        |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bomb"}, "spec": spec});
    let containers: Vec<Value> =
        (0..20_000).map(|at| json!({"name": format!("c{at}"), "image": "i"})).collect();
    let same: Vec<Value> =
        vec![json!({"name": "c", "image": "i", "env": [{"name": ""}, {"name": ""}]}); 20_000];
    let ports: Vec<Value> = (1..30_000).map(|at| json!({"name": format!("p{at}"), "port": at})).collect();
    vec![
        ("many containers", pod(json!({"containers": containers}))),
        ("the same container", pod(json!({"containers": same}))),
        (
            "many selectors",
            pod(json!({"nodeSelector": keys(json!("v")), "containers": [{"name": "c", "image": "i"}]})),
        ),
        (
            "many ports",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bomb"}, "spec": {"ports": ports}}),
        ),
        (
            "many quantities",
            pod(
                json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": keys(json!("1e-9999999"))}}]}),
            ),
        ),
        (
            "a long quantity",
            pod(
                json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "9".repeat(LONG)}}}]}),
            ),
        ),
        ("a long name", configmap(json!({"namespace": "x".repeat(LONG)}), json!({}))),
        (
            "a long schedule",
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "bomb"}, "spec": {
            "schedule": "0-59,".repeat(100_000), "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}}}),
        ),
        (
            "many rules",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "bomb"},
            "rules": vec![json!({"verbs": [], "apiGroups": [""], "resources": ["x"]}); 30_000]}),
        ),
    ]
}

/// Patterns, rules and paths that are dear to compile or to run.
fn expressions() -> Vec<Bomb> {
    let schema = |schema: Value| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "bombs.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "bombs", "singular": "bomb", "kind": "Bomb", "listKind": "BombList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}}}]}})
    };
    let pattern = |text: &str| schema(json!({"type": "string", "pattern": text}));
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let rule = |text: &str| {
        schema(json!({"type": "object", "properties": {"a": strings, "b": strings, "c": strings},
        "x-kubernetes-validations": [{"rule": text}]}))
    };
    let mut deep = json!({"type": "string"});
    for _ in 0..30 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    let wide: Value = (0..20_000)
        .map(|at| (format!("p{at}"), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let rules: Vec<Value> =
        (0..2_000).map(|at| json!({"rule": format!("self.a.exists(x, x == '{at}')")})).collect();
    let policy = |expression: String| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "bomb"},
            "spec": {"matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v9"], "resources": ["x"]}]},
                "validations": [{"expression": expression}]}})
    };
    let mut column = schema(json!({"type": "object"}));
    column["spec"]["versions"][0]["additionalPrinterColumns"] =
        json!([{"name": "x", "type": "string", "jsonPath": ".a[".repeat(50_000)}]);
    let objects = [
        ("a pattern of repetitions", pattern("(((((a{99}){99}){99}){99}){99})")),
        ("a pattern that goes back", pattern("^(a+)+$")),
        ("a long pattern", pattern(&"(a|b)*".repeat(20_000))),
        ("a deep pattern", pattern(&format!("{}a{}", "(".repeat(20_000), ")".repeat(20_000)))),
        ("a pattern of classes", pattern(&"[\\p{L}\\p{N}]{1,1000}".repeat(50))),
        ("loops in loops", rule("self.a.all(x, self.b.all(y, self.c.all(z, x + y + z != '')))")),
        ("a long rule", rule(&vec!["true"; 50_000].join(" && "))),
        ("a deep rule", rule(&format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000)))),
        ("a rule of nots", rule(&format!("{}true", "!".repeat(50_000)))),
        ("a rule of calls", rule(&format!("self.a{} == []", ".map(x, x)".repeat(5_000)))),
        ("a rule of lists", rule(&format!("{}{} == []", "[".repeat(10_000), "]".repeat(10_000)))),
        ("a matching rule", rule("self.a.all(x, x.matches('(((a{99}){99}){99})'))")),
        (
            "many rules",
            schema(
                json!({"type": "object", "properties": {"a": strings}, "x-kubernetes-validations": rules}),
            ),
        ),
        ("a deep schema", schema(deep)),
        ("a wide schema", schema(json!({"type": "object", "properties": wide}))),
        ("a deep path", column),
        (
            "a policy of loops",
            policy(format!("{}true{}", "[1,2,3,4,5,6,7,8,9].all(x, ".repeat(40), ")".repeat(40))),
        ),
        ("a policy that is long", policy(vec!["1"; 50_000].join("+") + " > 0")),
        ("a policy that is deep", policy(format!("{}1{} > 0", "-(".repeat(20_000), ")".repeat(20_000)))),
    ];
    let mut all = Vec::new();
    for (name, object) in objects {
        let Ok(kind) = crate::objects::kind_of(&object) else { continue };
        let path = format!("{}?dryRun=All", crate::objects::collection(kind, NAMESPACE));
        let headers = vec![("content-type", Content::Json.media_type())];
        all.push(Bomb { name, method: "POST", path, headers, body: object.to_string().into_bytes() });
    }
    all.extend(selectors());
    all
}

/// Queries that are too much.
fn selectors() -> Vec<Bomb> {
    let mut all = Vec::new();
    let selectors = [
        ("a long label selector", format!("labelSelector=a+in+({})", vec!["b"; 20_000].join(","))),
        ("an open label selector", format!("labelSelector={}", "a+in+(".repeat(5_000))),
        ("a long field selector", format!("fieldSelector={}", vec!["metadata.name%3Da"; 3_000].join(","))),
        ("a long continue", format!("continue={}", "A".repeat(50_000))),
    ];
    for (name, query) in selectors {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?{query}");
        all.push(Bomb { name, method: "GET", path, headers: Vec::new(), body: Vec::new() });
    }
    all
}

fn gzip() -> Result<Bomb> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&blanks)?;
    }
    let mut bomb = Text { name: "256 MiB in gzip", body: packed.finish()? }.sent_as(Content::Json);
    bomb.headers.push(("content-encoding", "gzip"));
    Ok(bomb)
}
