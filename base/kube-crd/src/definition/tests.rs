use serde_json::json;

use super::*;

fn crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale":
                    {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector"}},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "default": {"replicas": 1, "zap": 2}, "properties":
                            {"replicas": {"type": "integer"}, "color": {"type": "string"}}},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"},
                            "selector": {"type": "string"}}}}}}}]}})
}

#[test]
fn defaults_of_definitions() {
    let mut crd = crd();
    default_crd(&mut crd);
    assert_eq!(
        crd["spec"]["names"],
        json!({"plural": "foos", "kind": "Foo", "singular": "foo", "listKind": "FooList"})
    );
    assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    let once = crd.clone();
    default_crd(&mut crd);
    assert_eq!(crd, once);
}

#[test]
fn compiles_what_serving_needs() {
    let definition = Definition::compile(&crd()).unwrap();
    assert_eq!(definition.group_kind().to_string(), "Foo.example.com");
    assert_eq!((definition.names().singular.as_str(), definition.scope()), ("foo", Scope::Namespaced));
    let served: Vec<&str> = definition.served_versions().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(served, ["v1", "v1beta1"]);
    let v1 = definition.storage_version().unwrap();
    assert!(v1.status && v1.scale.is_some() && v1.warning().is_none());
    assert_eq!(
        definition.version("v1beta1").unwrap().warning(),
        Some("example.com/v1beta1 Foo is deprecated; use example.com/v1 Foo")
    );
    let mut object = json!({"metadata": {"name": "a"}});
    v1.schema.default(&mut object);
    assert_eq!(object["spec"], json!({"replicas": 1}), "defaults are pruned");
    assert_eq!(v1.selectable_fields[0].value(&json!({"spec": {"color": "red"}})), "red");
    assert_eq!(v1.columns()[0].name, "Age");
    assert!(Definition::compile(&json!({})).is_err());
}

#[test]
fn versions_are_ordered_by_kube() {
    let mut versions =
        ["foo10", "v1", "v10", "v3beta1", "v2", "v12alpha1", "foo1", "v11alpha2", "v1.1", "v3beta12"];
    versions.sort_by(|one, other| compare_versions(one, other));
    assert_eq!(
        versions,
        ["v10", "v2", "v1", "v3beta12", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10", "v1.1"]
    );
}

#[test]
fn scale_reads_and_writes() {
    let definition = Definition::compile(&crd()).unwrap();
    let scale = definition.storage_version().unwrap().scale.clone().unwrap();
    let mut object = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}}, "spec": {"replicas": 2},
        "status": {"replicas": 1, "selector": "a=b"}});
    assert_eq!(
        scale.scale(&object),
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a", "namespace": "n"},
            "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "a=b"}})
    );
    scale.set_replicas(&mut object, 5).unwrap();
    assert_eq!(object["spec"]["replicas"], 5);
    for (object, expected) in [
        (json!({}), vec![]),
        (
            json!({"spec": {"replicas": -1}}),
            vec![".spec.replicas: Invalid value: -1: should be a non-negative integer"],
        ),
        (
            json!({"status": {"replicas": 2_147_483_648_i64}}),
            vec![".status.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647"],
        ),
    ] {
        let errors: Vec<String> = scale.check(&object).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected);
    }
    assert_eq!(scale.wanted(&json!({"spec": {}})), None);
    assert_eq!(scale.wanted_path(), ".spec.replicas");
}

#[test]
fn writes_are_prepared() {
    let definition = Definition::compile(&crd()).unwrap();
    let v1 = definition.storage_version().unwrap();
    let mut object = json!({"metadata": {"name": "a"}, "spec": {"replicas": 1}, "status": {"replicas": 9}});
    v1.prepare_create(&mut object);
    assert_eq!(object, json!({"metadata": {"name": "a", "generation": 1}, "spec": {"replicas": 1}}));
    let old = json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let mut new = json!({"metadata": {"generation": 7}, "spec": {"replicas": 2}, "status": {"replicas": 5}});
    v1.prepare_update(&mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {"replicas": 1}})
    );
    let mut new = json!({"metadata": {"labels": {"a": "b"}, "managedFields": [1]}, "spec": {"replicas": 2}, "status": {"replicas": 5}});
    v1.prepare_status(&mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"generation": 1, "managedFields": [1]}, "spec": {"replicas": 1}, "status": {"replicas": 5}})
    );
    let mut definition = crd();
    prepare::crd_create(&mut definition);
    let mut changed = definition.clone();
    changed["spec"]["versions"][1]["storage"] = json!(false);
    changed["spec"]["versions"][0]["storage"] = json!(true);
    prepare::crd_update(&mut changed, &definition);
    assert_eq!(changed["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[test]
fn warns_of_finalizers_without_a_domain() {
    let object = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    let say = |name: &str, path: &str| {
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental \
             conflicts with other finalizer writers"
        )
    };
    let new = object(&["foo", "a.b", "x.y/z", "orphan"]);
    let expected = [say("a.b", " including a path (/)"), say("foo", "")];
    assert_eq!(prepare::finalizer_warnings(&new, None), expected);
    assert!(prepare::finalizer_warnings(&new, Some(&new)).is_empty());
}
