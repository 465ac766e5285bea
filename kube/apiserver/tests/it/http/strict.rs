//! Field validation: what is said of unknown fields and of keys that stand twice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Answer, Front};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A server with a config map and a custom object, both named `a`.
pub(super) async fn front() -> Front {
    let front = Front::new().await;
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"}, "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}]}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(front.ask("POST", path, JSON, definition.to_string()).await.code, 201);
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}});
    let deadline = Instant::now() + Duration::from_secs(30);
    while front.ask("POST", WIDGETS, JSON, widget.to_string()).await.code != 201 {
        assert!(Instant::now() < deadline, "the definition is not served");
        tokio::task::yield_now().await;
    }
    let map = json!({"metadata": {"name": "a"}, "data": {"a": "1"}});
    assert_eq!(front.ask("POST", MAPS, JSON, map.to_string()).await.code, 201);
    front
}

async fn ask(front: &Front, method: &str, path: String, content_type: &str, body: &'static str) -> Answer {
    front.ask(method, &path, content_type, body).await
}

fn warnings(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect()
}

fn message(answer: &Answer) -> String {
    answer.json()["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn bodies_are_looked_at_strictly() {
    let front = front().await;
    let map =
        "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: b\ndata: {a: x, a: y}\ndta: 1\ndata:\n  a: z\n";
    let twice = "line 5: key \"a\" already set in map";
    let again = "line 8: key \"data\" already set in map";
    let widget = r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"sice":1,"any":{"x":1,"x":2}}}"#;
    for (path, content_type, body, refusal, warned) in [
        (
            MAPS,
            YAML,
            map,
            format!(
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: yaml: \
                 unmarshal errors:\n  {twice}\n  {again}, unknown field \"dta\""
            ),
            vec![twice, again, "unknown field \"dta\""],
        ),
        (
            WIDGETS,
            JSON,
            widget,
            "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \
             \"spec.any.x\", unknown field \"spec.sice\""
                .to_owned(),
            vec!["duplicate field \"spec.any.x\"", "unknown field \"spec.sice\""],
        ),
        (
            MAPS,
            JSON,
            r#"{"metadata":{"name":"c","z":1},"data":{"b":"1","b":"2"},"a":{"x":1,"x":2}}"#,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
             \"metadata.z\", duplicate field \"data.b\", unknown field \"a\""
                .to_owned(),
            vec!["unknown field \"metadata.z\"", "duplicate field \"data.b\"", "unknown field \"a\""],
        ),
    ] {
        let send = |validation: &str| {
            ask(&front, "POST", format!("{path}?dryRun=All&fieldValidation={validation}"), content_type, body)
        };
        let strict = send("Strict").await;
        assert_eq!((strict.code, message(&strict)), (400, refusal));
        let warn = send("Warn").await;
        let said: Vec<String> = warned.iter().map(|text| format!("299 - {text:?}")).collect();
        assert_eq!((warn.code, warnings(&warn)), (201, said.iter().map(String::as_str).collect()));
        let ignore = send("Ignore").await;
        assert_eq!((ignore.code, warnings(&ignore).len()), (201, 0));
    }
    front.end().await;
}

#[tokio::test]
async fn patches_are_looked_at_strictly() {
    let front = front().await;
    let doubled = r#"{"data":{"a":"x","a":"y"},"dta":1}"#;
    let operations = r#"[{"op":"add","path":"/data/a","path":"/data/b","value":"1","why":"x"}]"#;
    let sized = r#"{"spec":{"sice":1,"size":2}}"#;
    for (path, content_type, body, shown, refusal) in [
        (
            MAPS,
            MERGE,
            doubled,
            "{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\":{\\\"a\\\":\\\"y\\\"},\\\"dta\\\":1,",
            "duplicate field \"data.a\", unknown field \"dta\"",
        ),
        (
            MAPS,
            STRATEGIC,
            doubled,
            "map[data:map[a:y] dta:1]\"",
            "duplicate field \"data.a\", unknown field \"dta\"",
        ),
        (
            MAPS,
            JSON_PATCH,
            operations,
            "{\\\"apiVersion\\\":\\\"v1\\\",",
            "json patch duplicate field \"[0].path\", json patch unknown field \"[0].why\"",
        ),
        (WIDGETS, MERGE, sized, "{\\\"apiVersion\\\":\\\"example.com/v1\\\",", "unknown field \"spec.sice\""),
    ] {
        let send = |validation: &str| {
            let path = format!("{path}/a?dryRun=All&fieldValidation={validation}");
            ask(&front, "PATCH", path, content_type, body)
        };
        let strict = send("Strict").await;
        let said = message(&strict);
        let (start, end) = (
            format!(" \"\" is invalid: patch: Invalid value: \"{shown}"),
            format!(": strict decoding error: {refusal}"),
        );
        assert!(
            strict.code == 422 && said.starts_with(&start) && said.ends_with(&end),
            "{} {said}",
            strict.code
        );
        assert_eq!(send("Warn").await.code, 200);
        assert_eq!(warnings(&send("Ignore").await).len(), 0);
    }
    front.end().await;
}

#[tokio::test]
async fn patches_of_the_wrong_type_are_shown() {
    let front = front().await;
    for (content_type, shown, why) in [
        (STRATEGIC, "map[data:7]\"", "cannot restore map from int64"),
        (
            MERGE,
            "{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\":7,",
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string",
        ),
    ] {
        let answer = front.ask("PATCH", &format!("{MAPS}/a"), content_type, r#"{"data":7}"#).await;
        let said = message(&answer);
        let (start, end) = (format!(" \"\" is invalid: patch: Invalid value: \"{shown}"), format!(": {why}"));
        assert!(answer.code == 422 && said.starts_with(&start) && said.ends_with(&end), "{said}");
        assert_eq!(answer.json()["details"]["causes"][0]["field"], "patch");
    }
    front.end().await;
}

#[tokio::test]
async fn applied_configurations_fit_their_type() {
    let front = front().await;
    let apply = |path: &str, body: &'static str, validation: &str| {
        let path = format!("{path}/a?fieldManager=m&force=true&dryRun=All&fieldValidation={validation}");
        ask(&front, "PATCH", path, APPLY, body)
    };
    let head = "failed to create typed patch object";
    for (path, body, expected) in [
        (MAPS, "{apiVersion: v1, kind: ConfigMap, dta: 1}",
            format!("{head} (/; /v1, Kind=ConfigMap): .dta: field not declared in schema")),
        (MAPS, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {a: 5}}",
            format!("{head} (default/a; /v1, Kind=ConfigMap): .data.a: expected string, got &value.valueUnstructured{{Value:5}}")),
        (MAPS, "{apiVersion: v1, kind: ConfigMap, metadata: {creationTimestamp: tomorrow}}",
            "failed to convert new object (/; /v1, Kind=ConfigMap) to proper version (v1): unable to convert \
             unstructured object to /v1, Kind=ConfigMap: parsing time \"tomorrow\" as \"2006-01-02T15:04:05Z07:00\": \
             cannot parse \"tomorrow\" as \"2006\"".to_owned()),
        (MAPS, "{apiVersion: v2, kind: ConfigMap}",
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1".to_owned()),
        (WIDGETS, "{apiVersion: example.com/v1, kind: Widget, spec: {size: big, any: {x: 1}}}",
            format!("{head} (/; example.com/v1, Kind=Widget): .spec.size: expected numeric (int or float), got string")),
    ] {
        // Nothing of this is a matter of field validation.
        for validation in ["Strict", "Ignore"] {
            let answer = apply(path, body, validation).await;
            assert_eq!((answer.code, message(&answer)), (400, expected.clone()), "{validation}");
        }
    }
    for twice in [
        "apiVersion: example.com/v1\nkind: Widget\nspec:\n  any: {x: 1}\n  any:\n    x: 2\n",
        "{\"apiVersion\":\"example.com/v1\",\n\"kind\":\"Widget\",\"spec\":{\"any\":\n{},\n\n\"any\":{\"x\":2}}}",
    ] {
        let line = if twice.starts_with('{') { 5 } else { 6 };
        let key = format!("line {line}: key \"any\" already set in map");
        let strict = apply(WIDGETS, twice, "Strict").await;
        let said = format!(
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {key}"
        );
        assert_eq!((strict.code, message(&strict)), (400, said));
        let warn = apply(WIDGETS, twice, "Warn").await;
        assert_eq!((warn.code, warnings(&warn)), (200, vec![format!("299 - {key:?}").as_str()]));
        assert_eq!(warn.json()["spec"]["any"], json!({"x": 2}));
    }
    front.end().await;
}

#[tokio::test]
async fn a_custom_scale_is_set_before_it_is_shown() {
    let front = front().await;
    let scale = format!("{WIDGETS}/a/scale");
    let shown = front.get(&scale).await;
    let why = "Internal error occurred: the spec replicas field \".spec.size\" does not exist";
    assert_eq!((shown.code, message(&shown).as_str()), (500, why));
    let empty = front.ask("PATCH", &scale, MERGE, "{}").await;
    let why = "the spec replicas field \".spec.size\" cannot be empty";
    assert_eq!((empty.code, message(&empty).as_str()), (400, why));
    let patched = front.ask("PATCH", &scale, MERGE, r#"{"spec":{"replicas":4}}"#).await;
    assert_eq!((patched.code, &patched.json()["spec"]["replicas"]), (200, &Value::from(4)));
    assert_eq!(front.get(&format!("{WIDGETS}/a")).await.json()["spec"]["size"], 4);
    front.end().await;
}

#[tokio::test]
async fn what_only_subresources_speak_is_looked_at_too() {
    let front = front().await;
    let scale = format!("{WIDGETS}/a/scale?fieldValidation=Strict");
    let account = "/api/v1/namespaces/default/serviceaccounts/default/token?fieldValidation=Strict";
    let token = r#"{"spec":{"audiences":["a"],"audience":"b"},"spec":{"audience":"c"}}"#;
    let replicas =
        r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"a"},"spec":{"replicas":"x"}}"#;
    for (method, path, content_type, body, code, said) in [
        (
            "POST",
            account,
            JSON,
            token,
            400,
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: strict decoding error: \
             unknown field \"spec.audience\", duplicate field \"spec\"",
        ),
        (
            "PUT",
            &scale,
            JSON,
            replicas,
            400,
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal string into Go struct \
             field ScaleSpec.spec.replicas of type int32",
        ),
        (
            "PATCH",
            &scale,
            MERGE,
            r#"{"spec":{"replicas":4,"x":1}}"#,
            422,
            ": strict decoding error: unknown field \"spec.x\"",
        ),
    ] {
        let answer = ask(&front, method, path.to_owned(), content_type, body).await;
        let whole = message(&answer);
        assert!(answer.code == code && whole.ends_with(said), "{} {whole}", answer.code);
    }
    front.end().await;
}
