use std::collections::BTreeMap;

use super::*;

fn gvk(text: &str) -> Gvk<'_> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [version, kind] => Gvk { group: "", version, kind },
        [group, version, kind] => Gvk { group, version, kind },
        _ => panic!("{text} is no group/version/kind"),
    }
}

fn field(kind: &str, path: &str) -> &'static Field {
    let path: Vec<&str> = path.split('.').collect();
    Schema::builtin().field(gvk(kind), &path).unwrap_or_else(|| panic!("{kind} {path:?}"))
}

fn map_list(kind: &str, path: &str, wanted: &[&str], merge_key: &str) {
    let field = field(kind, path);
    let Type::List { list_type, keys, .. } = &field.kind else { panic!("{path} is no list") };
    assert_eq!((*list_type, &**keys), (ListType::Map, wanted), "{kind} {path}");
    assert!(field.patch.merge, "{kind} {path}");
    assert_eq!(field.merge_key, Some(merge_key), "{kind} {path}");
}

#[test]
fn every_group_has_its_kinds() {
    let mut counts = BTreeMap::new();
    for kind in Schema::builtin().kinds() {
        *counts.entry(format!("{}/{}", kind.gvk.group, kind.gvk.version)).or_insert(0) += 1;
    }
    for (group, wanted) in [
        ("/v1", 17),
        ("admissionregistration.k8s.io/v1", 6),
        ("apiextensions.k8s.io/v1", 1),
        ("apiregistration.k8s.io/v1", 1),
        ("apps/v1", 5),
        ("authentication.k8s.io/v1", 2),
        ("authorization.k8s.io/v1", 4),
        ("autoscaling/v1", 1),
        ("autoscaling/v2", 1),
        ("batch/v1", 2),
        ("certificates.k8s.io/v1", 1),
        ("coordination.k8s.io/v1", 1),
        ("discovery.k8s.io/v1", 1),
        ("events.k8s.io/v1", 1),
        ("flowcontrol.apiserver.k8s.io/v1", 2),
        ("networking.k8s.io/v1", 5),
        ("node.k8s.io/v1", 1),
        ("policy/v1", 1),
        ("rbac.authorization.k8s.io/v1", 4),
        ("resource.k8s.io/v1", 4),
        ("scheduling.k8s.io/v1", 1),
        ("storage.k8s.io/v1", 6),
    ] {
        assert_eq!(counts.get(group), Some(&wanted), "{group}");
    }
    assert_eq!(Schema::builtin().kinds().len(), 95);
    assert_eq!(Schema::builtin().release(), "1.36");
}

#[test]
fn lists_have_their_keys() {
    map_list("v1/Pod", "spec.containers", &["name"], "name");
    map_list("v1/Pod", "spec.containers.ports", &["containerPort", "protocol"], "containerPort");
    map_list("v1/Service", "spec.ports", &["port", "protocol"], "port");
    map_list("apps/v1/Deployment", "status.conditions", &["type"], "type");
    let finalizers = field("v1/Pod", "metadata.finalizers");
    assert!(matches!(finalizers.kind, Type::List { list_type: ListType::Set, .. }));
    let strategy = field("apps/v1/Deployment", "spec.strategy").patch;
    assert_eq!(strategy, PatchStrategy { retain_keys: true, ..PatchStrategy::default() });
    let volumes = field("v1/Pod", "spec.volumes").patch;
    assert_eq!(volumes, PatchStrategy { merge: true, retain_keys: true, replace: false });
}

#[test]
fn names_resolve() {
    let schema = Schema::builtin();
    let deployments = schema.resource("apps", "v1", "deployments").unwrap();
    assert_eq!(&*deployments.short_names, ["deploy"]);
    assert_eq!(deployments.singular, "deployment");
    assert_eq!(&*deployments.categories, ["all"]);
    assert!(schema.resolve_short_name("deploy").all(|kind| kind.gvk.kind == "Deployment"));
    assert_eq!(schema.resolve_short_name("hpa").count(), 2);
    assert_eq!(schema.resolve_short_name("nothing").count(), 0);
    assert!(schema.kind(gvk("apps/v1/Pod")).is_none());
}

#[test]
fn scopes_and_verbs() {
    let schema = Schema::builtin();
    for (kind, scope) in [
        ("v1/Namespace", Scope::Cluster),
        ("v1/Node", Scope::Cluster),
        ("v1/Pod", Scope::Namespaced),
        ("rbac.authorization.k8s.io/v1/ClusterRole", Scope::Cluster),
        ("authorization.k8s.io/v1/LocalSubjectAccessReview", Scope::Namespaced),
    ] {
        assert_eq!(schema.kind(gvk(kind)).unwrap().scope, scope, "{kind}");
    }
    assert!(!schema.kind(gvk("v1/Namespace")).unwrap().verbs.contains(&"deletecollection"));
    assert_eq!(&*schema.kind(gvk("authentication.k8s.io/v1/TokenReview")).unwrap().verbs, ["create"]);
}

#[test]
fn subresources_speak_their_kinds() {
    for (kind, name, spoken, verbs) in [
        ("v1/Pod", "status", "v1/Pod", "get,patch,update"),
        ("v1/Pod", "log", "v1/Pod", "get"),
        ("v1/Pod", "exec", "v1/PodExecOptions", "create,get"),
        ("v1/Pod", "eviction", "policy/v1/Eviction", "create"),
        ("v1/Pod", "binding", "v1/Binding", "create"),
        ("apps/v1/Deployment", "scale", "autoscaling/v1/Scale", "get,patch,update"),
        ("v1/ServiceAccount", "token", "authentication.k8s.io/v1/TokenRequest", "create"),
        ("v1/Namespace", "finalize", "v1/Namespace", "update"),
    ] {
        let found = Schema::builtin().kind(gvk(kind)).unwrap().subresource(name).unwrap();
        assert_eq!((found.gvk, found.verbs.join(",")), (gvk(spoken), verbs.to_owned()), "{kind} {name}");
    }
}

#[test]
fn fields_have_their_types() {
    assert!(field("apps/v1/Deployment", "spec.selector").required);
    assert_eq!(field("v1/Service", "spec.ports.targetPort").kind, Type::IntOrString);
    assert_eq!(field("v1/Pod", "metadata.creationTimestamp").kind, Type::Time);
    assert_eq!(field("coordination.k8s.io/v1/Lease", "spec.renewTime").kind, Type::MicroTime);
    assert_eq!(field("apps/v1/Deployment", "spec.replicas").kind, Type::Int(32));
    let limits = &field("v1/Pod", "spec.containers.resources.limits").kind;
    assert_eq!(*limits, Type::Map(Box::new(Type::Quantity)));
    let Type::Map(data) = &field("v1/Secret", "data").kind else { panic!("data is no map") };
    assert!(matches!(**data, Type::String { format: Some("byte"), .. }));
    let selector = Schema::builtin().object_named("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector");
    assert_eq!(selector.unwrap().map_type, MapType::Atomic);
}

#[test]
fn defaults_enums_and_numbers_come_from_the_sources() {
    let protocol = field("v1/Service", "spec.ports.protocol");
    assert_eq!(protocol.default, Some("\"TCP\""));
    let Type::String { values, .. } = &protocol.kind else { panic!("protocol is no string") };
    assert_eq!(&**values, ["SCTP", "TCP", "UDP"]);
    assert_eq!(&*field("v1/Pod", "spec.containers").numbers, [2]);
    // Volume embeds VolumeSource as its field 2, and hostPath is that one's first.
    assert_eq!(&*field("v1/Pod", "spec.volumes.hostPath").numbers, [2, 1]);
}

#[test]
fn a_damaged_table_is_refused() {
    for text in [
        "",
        "strake-kube-schema 2 1.36",
        "strake-kube-schema 1 1.36\nX",
        "strake-kube-schema 1 1.36\nT a -\nF b @7",
        "strake-kube-schema 1 1.36\nT a -\nF b string l=set",
        "strake-kube-schema 1 1.36\nK - v1 Pod pods pod N - - get 0",
    ] {
        assert!(Schema::parse(text).is_err(), "{text:?}");
    }
}

/// Writes a type as the generator does.
fn expression(kind: &Type, marks: &mut String) -> String {
    match kind {
        Type::Object(id) => format!("@{}", id.0),
        Type::Map(item) => format!("{{}}{}", expression(item, marks)),
        Type::List { item, .. } => format!("[]{}", expression(item, marks)),
        Type::String { format, values } => {
            if !values.is_empty() {
                *marks = format!(" e={}", values.join("|"));
            }
            format.map_or("string".to_owned(), |format| format!("string:{format}"))
        }
        Type::Int(bits) => format!("int{bits}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn nothing_of_the_table_is_lost() {
    let schema = Schema::builtin();
    let lines: Vec<&str> = TABLE.lines().filter(|line| line.starts_with("F ")).collect();
    let fields: Vec<&Field> = schema.objects().iter().flat_map(|object| object.fields.iter()).collect();
    assert_eq!(lines.len(), fields.len());
    for (line, field) in lines.into_iter().zip(fields) {
        let mut marks = String::new();
        let kind = expression(&field.kind, &mut marks);
        assert!(line.starts_with(&format!("F {} {kind}", field.name)), "{line}");
        assert!(line.contains(&marks), "{line}");
        assert_eq!(line.split(' ').nth(3) == Some("r"), field.required, "{line}");
        assert_eq!(line.contains(" n="), !field.numbers.is_empty(), "{line}");
    }
    let of_kinds = TABLE.lines().filter(|line| line.starts_with("K ")).count();
    assert_eq!(of_kinds, schema.kinds().len());
    let subresources: usize = schema.kinds().iter().map(|kind| kind.subresources.len()).sum();
    assert_eq!(TABLE.lines().filter(|line| line.starts_with("S ")).count(), subresources);
}

#[test]
fn the_table_is_small() {
    let memory = Schema::builtin().memory();
    assert!(memory <= 640 * 1024, "{} KiB", memory / 1024);
}
