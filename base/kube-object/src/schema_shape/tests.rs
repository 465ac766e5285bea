use serde_json::json;

use super::*;
use crate::apply::typed;
use crate::{strategic, strict};

fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind::of(api_version, kind)
}

fn merged(api_version: &str, kind: &str, mut document: Value, patch: Value) -> Value {
    strategic::apply(&mut document, patch, of(&gvk(api_version, kind))).unwrap();
    document
}

fn applied(api_version: &str, kind: &str, live: &Value, config: &Value) -> Value {
    typed::merge(live, config, of(&gvk(api_version, kind))).unwrap()
}

#[test]
fn strategic_merge_knows_the_keys() {
    let pod = |spec: Value| json!({"spec": spec});
    for (spec, patch, expected) in [
        (
            json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}]}),
            json!({"containers": [{"name": "a", "image": "2", "env": [
                {"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}, {"name": "b"}]}),
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "1"}]}),
            json!({"initContainers": [{"name": "i", "command": ["x"]}]}),
            json!({"initContainers": [{"name": "i", "image": "1", "command": ["x"]}]}),
        ),
        (
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
        (
            json!({"nodeSelector": {"a": "1"}}),
            json!({"nodeSelector": {"b": "1"}}),
            json!({"nodeSelector": {"a": "1", "b": "1"}}),
        ),
        (
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
        ),
    ] {
        assert_eq!(merged("v1", "Pod", pod(spec), pod(patch)), pod(expected));
    }
    let selector = |labels: Value| json!({"spec": {"selector": {"matchLabels": labels}}});
    let budget =
        merged("policy/v1", "PodDisruptionBudget", selector(json!({"a": "1"})), selector(json!({"b": "1"})));
    assert_eq!(budget, selector(json!({"b": "1"})), "this selector is replaced whole");
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    let both = merged("v1", "ConfigMap", finalizers(&["a"]), finalizers(&["b"]));
    assert_eq!(both["metadata"]["finalizers"].as_array().unwrap().len(), 2);
    let ports = merged(
        "v1",
        "Service",
        json!({"spec": {"ports": [{"port": 80, "name": "a"}]}}),
        json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 81}]}}),
    );
    assert_eq!(ports["spec"]["ports"][0], json!({"port": 80, "name": "a", "targetPort": 8080}));
    assert_eq!(ports["spec"]["ports"].as_array().unwrap().len(), 2);
}

#[test]
fn apply_knows_the_keys() {
    let service = |ports: Value| json!({"spec": {"ports": ports}});
    let both = applied(
        "v1",
        "Service",
        &service(json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "name": "t"}])),
        &service(json!([{"port": 53, "targetPort": 5353}])),
    );
    assert_eq!(
        both["spec"]["ports"],
        json!([{"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP", "name": "t", "targetPort": 5353}])
    );
    let set = typed::field_set(&service(json!([{"port": 53}])), of(&gvk("v1", "Service"))).unwrap();
    let json = set.to_value().to_string();
    assert!(json.contains(r#"k:{\"port\":53,\"protocol\":\"TCP\"}"#), "{json}");
    let pod = applied(
        "v1",
        "Pod",
        &json!({"spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "ports":
            [{"containerPort": 1, "protocol": "TCP"}]}, {"name": "b"}]}}),
        &json!({"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "image": "i", "ports":
            [{"containerPort": 1, "name": "p"}]}]}}),
    );
    assert_eq!(
        pod["spec"],
        json!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "image": "i", "ports":
            [{"containerPort": 1, "protocol": "TCP", "name": "p"}]}, {"name": "b"}]})
    );
    let selector = applied(
        "v1",
        "Service",
        &json!({"spec": {"selector": {"a": "1"}}}),
        &json!({"spec": {"selector": {"b": "1"}}}),
    );
    assert_eq!(selector, json!({"spec": {"selector": {"b": "1"}}}));
    let labels = applied(
        "apps/v1",
        "Deployment",
        &json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x"]}}),
        &json!({"metadata": {"labels": {"b": "1"}, "finalizers": ["y"]}}),
    );
    assert_eq!(labels["metadata"]["labels"], json!({"a": "1", "b": "1"}));
    assert_eq!(labels["metadata"]["finalizers"], json!(["x", "y"]));
}

#[test]
fn strict_decoding_knows_the_fields() {
    let unknown =
        |kind: (&str, &str), value: Value| strict::unknown_fields(&value, of(&gvk(kind.0, kind.1)).unwrap());
    let deployment = ("apps/v1", "Deployment");
    assert_eq!(
        unknown(
            deployment,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "foo": 1, "metadata": {"name": "a", "labels": {"x": "y"}},
                "spec": {"Replicas": 1, "template": {"spec": {"containers": [{"name": "a", "imagee": "x"}],
                "nodeSelector": {"any": "thing"}}}}})
        ),
        ["foo", "spec.Replicas", "spec.template.spec.containers[0].imagee"]
    );
    assert!(
        unknown(("v1", "ConfigMap"), json!({"data": {"a": "b"}, "binaryData": {"c": ""}, "immutable": true}))
            .is_empty()
    );
    assert!(of(&gvk("example.com/v1", "Foo")).is_none());
    assert!(of(&gvk("policy/v1", "Eviction")).is_some());
    assert!(of(&gvk("autoscaling/v1", "Scale")).is_some());
    assert!(of(&gvk("v1", "DeleteOptions")).is_some());
    assert!(of(&gvk("apps/v1", "DeleteOptions")).is_some());
}

#[test]
fn type_errors_read_as_go_s() {
    let go = "json: cannot unmarshal";
    for (kind, value, expected) in [
        (
            ("apps/v1", "Deployment"),
            json!({"spec": {"replicas": "3"}}),
            format!("{go} string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            ("apps/v1", "Deployment"),
            json!({"spec": {"replicas": 1.5}}),
            format!("{go} number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            ("apps/v1", "Deployment"),
            json!({"spec": {"replicas": 3_000_000_000_i64}}),
            format!("{go} number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            ("apps/v1", "Deployment"),
            json!({"spec": {"template": {"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}}}}),
            format!(
                "{go} number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
            ),
        ),
        (
            ("v1", "Pod"),
            json!({"spec": {"containers": {}}}),
            format!("{go} object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ),
        (
            ("v1", "ConfigMap"),
            json!({"data": {"a": true}}),
            format!("{go} bool into Go struct field ConfigMap.data of type string"),
        ),
        (
            ("v1", "ConfigMap"),
            json!({"data": "x"}),
            format!("{go} string into Go struct field ConfigMap.data of type map[string]string"),
        ),
        (("v1", "Secret"), json!({"data": {"a": "?"}}), "illegal base64 data at input byte 0".to_owned()),
        (("v1", "Pod"), json!([]), format!("{go} array into Go value of type v1.Pod")),
        (
            ("v1", "Pod"),
            json!({"metadata": {"creationTimestamp": "abc"}, "spec": "x"}),
            "parsing time \"abc\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"abc\" as \"2006\""
                .to_owned(),
        ),
        (
            ("v1", "ResourceQuota"),
            json!({"spec": {"hard": {"cpu": "abc"}}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                .to_owned(),
        ),
        (
            ("v1", "Service"),
            json!({"spec": {"ports": [{"targetPort": true}]}}),
            format!("{go} bool into Go struct field ServicePort.spec.ports.targetPort of type int32"),
        ),
    ] {
        assert_eq!(type_errors(&gvk(kind.0, kind.1), &value).as_deref(), Some(expected.as_str()));
    }
    let fine = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [{"name": "a", "resources":
        {"limits": {"cpu": 1, "memory": "1Gi"}}, "livenessProbe": {"httpGet": {"port": 80}}}], "unknown": 1}});
    assert_eq!(type_errors(&gvk("v1", "Pod"), &fine), None);
}

#[test]
fn normal_form_is_what_go_would_write() {
    let mut pod = json!({"kind": "Pod", "metadata": {"creationTimestamp": null, "labels": {}, "annotations": {"a": null},
        "deletionTimestamp": "2026-01-01T02:00:00.5+02:00"}, "foo": {},
        "spec": {"containers": [{"name": "a", "bar": 1, "env": [], "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}],
        "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": null}});
    normalize(&gvk("v1", "Pod"), &mut pod);
    assert_eq!(
        pod,
        json!({"kind": "Pod", "metadata": {"annotations": {"a": ""}, "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}})
    );
    for (kind, before, after) in [
        (
            ("apps/v1", "Deployment"),
            json!({"spec": {"replicas": 0, "paused": false, "minReadySeconds": 0}}),
            json!({"spec": {"replicas": 0}}),
        ),
        (
            ("v1", "Service"),
            json!({"spec": {"clusterIP": "", "type": "", "ports": [{"name": "", "port": 0, "nodePort": 0}]}}),
            json!({"spec": {"ports": [{"port": 0}]}}),
        ),
        (
            ("v1", "PersistentVolumeClaim"),
            json!({"spec": {"storageClassName": "", "volumeName": ""}}),
            json!({"spec": {"storageClassName": ""}}),
        ),
        (
            ("v1", "Pod"),
            json!({"spec": {"hostNetwork": false, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "", "securityContext": {"privileged": false}, "env": [{"name": "A", "value": ""}]}]}}),
            json!({"spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "", "securityContext": {"privileged": false}, "env": [{"name": "A"}]}]}}),
        ),
        (
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            json!({"spec": {"versions": [{"name": "v1", "served": false, "storage": false, "deprecated": false, "schema":
                {"openAPIV3Schema": {"minimum": 0, "minLength": 0, "nullable": false, "title": ""}}}]}}),
            json!({"spec": {"versions": [{"name": "v1", "served": false, "storage": false, "schema":
                {"openAPIV3Schema": {"minimum": 0, "minLength": 0}}}]}}),
        ),
    ] {
        let mut value = before;
        normalize(&gvk(kind.0, kind.1), &mut value);
        assert_eq!(value, after);
    }
    let mut required = json!({"spec": {"containers": []}});
    normalize(&gvk("v1", "Pod"), &mut required);
    assert_eq!(required, json!({"spec": {"containers": []}}));
    let mut secret = json!({"data": {"a": "YW\nJj"}});
    normalize(&gvk("v1", "Secret"), &mut secret);
    assert_eq!(secret, json!({"data": {"a": "YWJj"}}));
    let mut crd = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"default": {"x": null}}}}]}});
    let before = crd.clone();
    normalize(&gvk("apiextensions.k8s.io/v1", "CustomResourceDefinition"), &mut crd);
    assert_eq!(crd, before);
}

mod laws {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let names = "spec|metadata|status|labels|containers|ports|resources|limits|data|template|creationTimestamp|\
                     finalizers|rules|subsets|name|versions|schema|openAPIV3Schema|properties|[a-b]";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            any::<f64>().prop_map(|number| json!(number)),
            "[0-9.]{0,3}(Ki|m|e3)?|2020-01-01T00:00:00Z|YQ==|é".prop_map(Value::String),
        ];
        leaf.prop_recursive(6, 48, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::Array),
                btree_map(names, inner, 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn normal_form_is_normal_and_fits(value in value(), at in 0usize..2000) {
            let kinds = Schema::builtin().kinds();
            let kind = &kinds[at % kinds.len()];
            let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
            let fits = type_errors(&gvk, &value).is_none();
            let mut once = value;
            normalize(&gvk, &mut once);
            let mut twice = once.clone();
            normalize(&gvk, &mut twice);
            prop_assert_eq!(&once, &twice);
            if fits && once.is_object() {
                prop_assert_eq!(type_errors(&gvk, &once), None);
                let shape = of(&gvk).unwrap();
                prop_assert!(strict::unknown_fields(&once, shape).is_empty());
            }
        }
    }
}
