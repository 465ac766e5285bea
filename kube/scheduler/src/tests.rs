//! Decisions, as tables: a few nodes and pods, a pod to place, and where it goes or why not.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube_object::label_selector::LabelSelector;
use serde_json::{Value, json};

use crate::{Decision, Diagnosis, DisruptionBudget, Misfit, Pod, Snapshot, capacity, preempt, schedule};

fn node(name: &str, cpu: &str, more: &Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "5"}},
    });
    merge(&mut node, more);
    node
}

fn zoned(name: &str, zone: &str) -> Value {
    node(name, "4", &json!({"metadata": {"labels": {"zone": zone}}}))
}

fn pod(name: &str, more: &Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    merge(&mut pod, more);
    pod
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn app(name: &str, app: &str, more: &Value) -> Value {
    let mut value = pod(name, &json!({"metadata": {"labels": {"app": app}}}));
    merge(&mut value, more);
    value
}

fn on(node: &str) -> Value {
    json!({"spec": {"nodeName": node}})
}

fn cpu(amount: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}]}})
}

fn cluster(nodes: &[Value], pods: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    nodes.iter().for_each(|node| snapshot.set_node(node));
    pods.iter().for_each(|pod| snapshot.set_pod(Arc::new(Pod::read(pod))));
    snapshot
}

/// All nodes where the pod may go, whatever the scores say.
fn choices(snapshot: &mut Snapshot, pod: &Value) -> BTreeSet<String> {
    let all: Vec<Arc<str>> = snapshot.nodes().map(|node| Arc::clone(&node.name)).collect();
    let why = why(snapshot, pod);
    let bad = |name: &str| why.misfits.iter().any(|(node, _)| **node == *name);
    all.iter().filter(|name| !bad(name)).map(ToString::to_string).collect()
}

/// What keeps the pod from each node, also if one will do.
fn why(snapshot: &mut Snapshot, pod: &Value) -> Diagnosis {
    let pod = Pod::read(pod);
    let mut diagnosis = Diagnosis { nodes: snapshot.len(), ..Diagnosis::default() };
    let wanted = crate::cycle::Wanted::of(snapshot, &pod);
    match crate::cycle::Cycle::new(snapshot, &pod, &wanted) {
        Err(why) => diagnosis.everywhere = Some(why),
        Ok(cycle) => {
            for place in 0..snapshot.places() {
                let Some(node) = snapshot.at(place) else { continue };
                let misfit = cycle.check(place, node);
                diagnosis.misfits.extend(misfit.map(|misfit| (Arc::clone(&node.name), misfit)));
            }
        }
    }
    diagnosis
}

fn placed(snapshot: &mut Snapshot, pod: &Value) -> String {
    match schedule(snapshot, &Pod::read(pod), 0) {
        Decision::Place(placement) => placement.node.to_string(),
        Decision::Unschedulable(diagnosis) => diagnosis.message(),
    }
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn cp_04_requests_selectors_taints_and_ports() {
    let nodes = [
        node("big", "4", &json!({"metadata": {"labels": {"disk": "ssd"}}})),
        node("small", "1", &json!({})),
        node("tainted", "4", &json!({"spec": {"taints": [{"key": "db", "effect": "NoSchedule"}]}})),
        node("cordoned", "4", &json!({"spec": {"unschedulable": true}})),
    ];
    let port = json!({"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"hostPort": 80}]}]}});
    let mut taken = port.clone();
    merge(&mut taken, &on("small"));
    let mut snapshot = cluster(&nodes, &[pod("web", &taken)]);
    for (more, expected) in [
        (json!({}), names(&["big", "small"])),
        (cpu("2"), names(&["big"])),
        (json!({"spec": {"nodeSelector": {"disk": "ssd"}}}), names(&["big"])),
        (
            json!({"spec": {"tolerations": [{"operator": "Exists"}]}}),
            names(&["big", "small", "tainted", "cordoned"]),
        ),
        (port, names(&["big"])),
        (cpu("8"), names(&[])),
    ] {
        assert_eq!(choices(&mut snapshot, &pod("p", &more)), expected, "{more}");
    }
    let message = placed(&mut snapshot, &pod("p", &cpu("8")));
    assert_eq!(
        message,
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu."
    );
}

#[test]
fn a_node_takes_so_many_pods_and_forgets_those_that_went() {
    let pods: Vec<Value> = (0..5).map(|at| pod(&format!("p{at}"), &on("n"))).collect();
    let mut snapshot = cluster(&[node("n", "4", &json!({}))], &pods);
    assert_eq!(placed(&mut snapshot, &pod("p", &json!({}))), "0/1 nodes are available: 1 Too many pods.");
    snapshot.remove_pod("p3");
    assert_eq!(placed(&mut snapshot, &pod("p", &json!({}))), "n");
    // Pods of a node that comes later count too.
    let mut late = cluster(&[], &pods);
    late.set_node(&node("n", "4", &json!({})));
    assert_eq!(late.node("n").unwrap().pods.len(), 5);
    late.remove_node("n");
    late.set_node(&node("n", "4", &json!({})));
    assert_eq!(late.node("n").unwrap().pods.len(), 5);
}

fn affinity(kind: &str, app: &str, key: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key});
    json!({"spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
}

#[test]
fn pods_go_together_and_apart_by_zone() {
    let nodes = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b"), node("nowhere", "4", &json!({}))];
    let with = |more: &[Value]| cluster(&nodes, more);
    let mut snapshot = with(&[app("web", "web", &on("a1"))]);
    let near = pod("p", &affinity("podAffinity", "web", "zone"));
    assert_eq!(choices(&mut snapshot, &near), names(&["a1", "a2"]));
    let far = pod("p", &affinity("podAntiAffinity", "web", "zone"));
    assert_eq!(choices(&mut snapshot, &far), names(&["b1", "nowhere"]));
    // Nobody of the kind is anywhere: the first one may begin, but others wait.
    let mut empty = with(&[]);
    assert_eq!(choices(&mut empty, &near), names(&[]));
    let first = app("p", "web", &affinity("podAffinity", "web", "zone"));
    assert_eq!(choices(&mut empty, &first), names(&["a1", "a2", "b1"]));
    // One that is there refuses; and no longer when it has gone.
    let mut refusing = app("lonely", "lonely", &affinity("podAntiAffinity", "web", "zone"));
    merge(&mut refusing, &on("b1"));
    let mut snapshot = with(&[refusing]);
    let web = app("p", "web", &json!({}));
    assert_eq!(choices(&mut snapshot, &web), names(&["a1", "a2", "nowhere"]));
    assert!(matches!(&why(&mut snapshot, &web).misfits[..], [(_, Misfit::RefusedByPods)]));
    snapshot.remove_pod("lonely");
    assert_eq!(choices(&mut snapshot, &web).len(), 4);
    // A node that changes its zone takes its pods along.
    let mut moved = with(&[app("web", "web", &on("a1"))]);
    assert_eq!(choices(&mut moved, &far), names(&["b1", "nowhere"]));
    moved.set_node(&zoned("a1", "b"));
    assert_eq!(choices(&mut moved, &far), names(&["a2", "nowhere"]));
}

#[test]
fn namespaces_are_chosen_by_their_labels() {
    let nodes = [zoned("a1", "a"), zoned("b1", "b")];
    let mut other = app("web", "web", &on("a1"));
    merge(&mut other, &json!({"metadata": {"namespace": "team"}}));
    let mut snapshot = cluster(&nodes, &[other]);
    let mut far = pod("p", &affinity("podAntiAffinity", "web", "zone"));
    assert_eq!(choices(&mut snapshot, &far).len(), 2);
    let terms = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
    far.pointer_mut(terms).unwrap()["namespaceSelector"] = json!({"matchLabels": {"tier": "front"}});
    assert_eq!(choices(&mut snapshot, &far).len(), 2);
    snapshot.set_namespace("team", [("tier".to_owned(), "front".to_owned())].into());
    assert_eq!(choices(&mut snapshot, &far), names(&["b1"]));
    far.pointer_mut(terms).unwrap()["namespaceSelector"] = json!({});
    assert_eq!(choices(&mut snapshot, &far), names(&["b1"]));
}

fn spread(max_skew: i64, more: &Value) -> Value {
    let mut constraint = json!({"maxSkew": max_skew, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    merge(&mut constraint, more);
    json!({"spec": {"topologySpreadConstraints": [constraint]}})
}

#[test]
fn pods_are_spread_over_zones() {
    let nodes = [zoned("a1", "a"), zoned("b1", "b"), node("nowhere", "4", &json!({}))];
    let mut ending = app("old", "web", &on("b1"));
    merge(&mut ending, &json!({"metadata": {"deletionTimestamp": "T"}}));
    let mut snapshot = cluster(&nodes, &[app("w1", "web", &on("a1")), ending]);
    for (more, expected) in [
        (spread(1, &json!({})), names(&["b1"])),
        (spread(2, &json!({})), names(&["a1", "b1"])),
        (spread(1, &json!({"minDomains": 3})), names(&["b1"])),
        (spread(5, &json!({"whenUnsatisfiable": "ScheduleAnyway"})), names(&["a1", "b1", "nowhere"])),
        (spread(1, &json!({"labelSelector": {"matchLabels": {"app": "none"}}})), names(&["a1", "b1"])),
    ] {
        assert_eq!(choices(&mut snapshot, &app("p", "web", &more)), expected, "{more}");
    }
    // Zones that the pod may not go to do not count.
    let mut only_a = app("p", "web", &spread(1, &json!({})));
    merge(&mut only_a, &json!({"spec": {"nodeSelector": {"zone": "a"}}}));
    assert_eq!(choices(&mut snapshot, &only_a), names(&["a1"]));
    let misfits = why(&mut snapshot, &app("p", "web", &spread(1, &json!({})))).misfits;
    assert!(misfits.iter().any(|(_, it)| matches!(it, Misfit::Spread { here: 2, least: 0, .. })));
    assert!(misfits.iter().any(|(_, it)| matches!(it, Misfit::NoTopologyLabel { .. })));
}

#[test]
fn scores_choose_among_nodes_that_will_do() {
    let preferred = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}}]}}}});
    let soft = json!({"spec": {"taints": [{"key": "old", "effect": "PreferNoSchedule"}]}});
    let image = json!({"status": {"images": [{"names": ["registry/app:1"], "sizeBytes": 900_000_000}]}});
    let wish = |kind: &str| {
        let term = json!({"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"});
        let wish = json!({"weight": 50, "podAffinityTerm": term});
        json!({"spec": {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}}})
    };
    let zones = || vec![zoned("a1", "a"), zoned("b1", "b")];
    let web_on = |node: &str| vec![app("web", "web", &on(node))];
    let mut busy = cpu("3");
    merge(&mut busy, &on("a1"));
    let mut tainted = zoned("a1", "a");
    merge(&mut tainted, &soft);
    let mut stocked = zoned("b1", "b");
    merge(&mut stocked, &image);
    let mut app_image = pod("p", &json!({}));
    app_image["spec"]["containers"][0]["image"] = json!("registry/app:1");
    for (nodes, pods, more, expected) in [
        (zones(), vec![pod("x", &busy)], pod("p", &json!({})), "b1"),
        (zones(), vec![], pod("p", &preferred), "b1"),
        (vec![tainted, zoned("b1", "b")], vec![], pod("p", &json!({})), "b1"),
        (vec![zoned("a1", "a"), stocked], vec![], app_image, "b1"),
        (zones(), web_on("b1"), pod("p", &wish("podAffinity")), "b1"),
        (zones(), web_on("a1"), pod("p", &wish("podAntiAffinity")), "b1"),
        (
            zones(),
            web_on("a1"),
            app("p", "web", &spread(1, &json!({"whenUnsatisfiable": "ScheduleAnyway"}))),
            "b1",
        ),
    ] {
        assert_eq!(placed(&mut cluster(&nodes, &pods), &more), expected, "{more}");
    }
    // Those that are there have wishes too.
    let mut fond = app("fond", "x", &wish("podAffinity"));
    merge(&mut fond, &on("b1"));
    assert_eq!(placed(&mut cluster(&zones(), &[fond]), &app("p", "web", &json!({}))), "b1");
}

#[test]
fn claims_bind_pods_to_nodes() {
    let mut snapshot = cluster(&[zoned("a1", "a"), zoned("b1", "b")], &[]);
    let claims = |name: &str| {
        pod("p", &json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}}))
    };
    let local = |name: &str, zone: &str| {
        json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "2Gi"}, "storageClassName": "local",
            "accessModes": ["ReadWriteOnce"], "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]}}}})
    };
    let claim = |name: &str, class: &str, volume: &str| {
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"storageClassName": class,
            "volumeName": volume, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    };
    let class = |name: &str, provisioner: &str, mode: &str| json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
    let volumes = &mut snapshot.volumes;
    volumes.set_class(&class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"));
    volumes.set_class(&class("path", "strake.local/path", "WaitForFirstConsumer"));
    volumes.set_class(&class("now", "strake.local/path", "Immediate"));
    volumes.set_volume(&local("disk-b", "b"));
    volumes.set_volume(&local("disk-a", "a"));
    volumes.set_claim(&claim("bound", "local", "disk-b"));
    volumes.set_claim(&claim("made", "path", ""));
    volumes.set_claim(&claim("open", "local", ""));
    volumes.set_claim(&claim("slow", "now", ""));
    assert_eq!(choices(&mut snapshot, &claims("bound")), names(&["b1"]));
    assert_eq!(choices(&mut snapshot, &claims("made")), names(&["a1", "b1"]));
    assert_eq!(choices(&mut snapshot, &claims("open")), names(&["a1", "b1"]));
    snapshot.volumes.remove_volume("disk-a");
    assert_eq!(choices(&mut snapshot, &claims("open")), names(&["b1"]));
    for (name, message) in [
        ("slow", "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        ("none", "0/2 nodes are available: persistentvolumeclaim \"none\" not found."),
    ] {
        assert_eq!(placed(&mut snapshot, &claims(name)), message);
    }
}

/// A pod with these claims.
fn claiming(name: &str, claims: &[&str], node: Option<&str>) -> Value {
    let volume = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    let volumes: Vec<Value> = claims.iter().map(volume).collect();
    pod(name, &json!({"metadata": {"uid": name}, "spec": {"nodeName": node, "volumes": volumes}}))
}

/// A claim of a class, of a volume if one is named.
fn claim(name: &str, class: &str, volume: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"storageClassName": class,
        "volumeName": volume, "resources": {"requests": {"storage": "2Gi"}}}})
}

#[test]
fn drivers_attach_so_many_volumes_and_no_more() {
    let mut snapshot = cluster(
        &[zoned("a1", "a"), zoned("b1", "b")],
        &[claiming("x", &["one"], Some("a1")), claiming("y", &["two"], Some("a1"))],
    );
    let volumes = &mut snapshot.volumes;
    volumes.set_class(&json!({"metadata": {"name": "fast"}, "provisioner": "csi.example", "volumeBindingMode": "WaitForFirstConsumer"}));
    for (name, handle) in [("one", "h1"), ("two", "h2"), ("three", "h3"), ("same", "h1")] {
        volumes.set_volume(&json!({"metadata": {"name": name}, "spec": {"csi": {"driver": "csi.example", "volumeHandle": handle}}}));
        volumes.set_claim(&claim(name, "fast", name));
    }
    volumes.set_claim(&claim("new", "fast", ""));
    let limit = |count: i64| json!({"metadata": {"name": "a1"}, "spec": {"drivers": [{"name": "csi.example", "allocatable": {"count": count}}]}});
    let both = names(&["a1", "b1"]);
    // Who says no limit has none; a volume that is there already costs nothing.
    assert_eq!(choices(&mut snapshot, &claiming("p", &["three"], None)), both);
    snapshot.volumes.set_drivers_of_node(&limit(2));
    for (claims, nodes) in [
        (&["three"][..], names(&["b1"])),
        (&["new"], names(&["b1"])),
        (&["one", "same"], both.clone()),
        (&[], both.clone()),
    ] {
        assert_eq!(choices(&mut snapshot, &claiming("p", claims, None)), nodes, "{claims:?}");
    }
    snapshot.volumes.set_drivers_of_node(&limit(3));
    assert_eq!(choices(&mut snapshot, &claiming("p", &["three"], None)), both);
    assert_eq!(choices(&mut snapshot, &claiming("p", &["three", "new"], None)), names(&["b1"]));
    // What is attached still counts, whether a pod has it or not.
    snapshot.volumes.set_attachment(&json!({"metadata": {"name": "csi-1"},
        "spec": {"attacher": "csi.example", "nodeName": "a1", "source": {"persistentVolumeName": "three"}}}));
    assert_eq!(choices(&mut snapshot, &claiming("p", &["new"], None)), names(&["b1"]));
    assert_eq!(choices(&mut snapshot, &claiming("p", &["three"], None)), both);
    snapshot.remove_node("b1");
    assert_eq!(
        placed(&mut snapshot, &claiming("p", &["new"], None)),
        "0/1 nodes are available: 1 node(s) exceed max volume count."
    );
    snapshot.volumes.remove_attachment("csi-1");
    assert_eq!(placed(&mut snapshot, &claiming("p", &["new"], None)), "a1");
    snapshot.volumes.remove_drivers_of_node("a1");
    assert_eq!(placed(&mut snapshot, &claiming("p", &["three", "new"], None)), "a1");
}

#[test]
fn volumes_are_made_where_their_class_lets_them_and_where_there_is_room() {
    let mut snapshot = cluster(&[zoned("a1", "a"), zoned("b1", "b")], &[]);
    let class = |name: &str, topologies: &Value| {
        json!({"metadata": {"name": name}, "provisioner": "csi.example", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": topologies})
    };
    let in_b = json!([{"matchLabelExpressions": [{"key": "zone", "values": ["b", "c"]}]}]);
    let volumes = &mut snapshot.volumes;
    volumes.set_class(&class("all", &json!([])));
    volumes.set_class(&class("zonal", &in_b));
    volumes.set_claim(&claim("all", "all", ""));
    volumes.set_claim(&claim("zonal", "zonal", ""));
    let asked = |snapshot: &mut Snapshot, name: &str| choices(snapshot, &claiming("p", &[name], None));
    let both = names(&["a1", "b1"]);
    assert_eq!(asked(&mut snapshot, "all"), both);
    assert_eq!(asked(&mut snapshot, "zonal"), names(&["b1"]));
    // A driver that tells of its room is believed.
    let driver =
        |tells: bool| json!({"metadata": {"name": "csi.example"}, "spec": {"storageCapacity": tells}});
    let room = |capacity: &str, most: Option<&str>| {
        json!({"metadata": {"name": "r", "namespace": "drivers"}, "storageClassName": "all", "capacity": capacity,
            "maximumVolumeSize": most, "nodeTopology": {"matchLabels": {"zone": "a"}}})
    };
    snapshot.volumes.set_driver(&driver(true));
    assert_eq!(
        placed(&mut snapshot, &claiming("p", &["all"], None)),
        "0/2 nodes are available: 2 node(s) did not have enough free storage."
    );
    for (capacity, most, nodes) in [
        ("1Gi", None, names(&[])),
        ("2Gi", None, names(&["a1"])),
        ("9Gi", Some("1Gi"), names(&[])),
        ("9Gi", Some("3Gi"), names(&["a1"])),
    ] {
        snapshot.volumes.set_room(&room(capacity, most));
        assert_eq!(asked(&mut snapshot, "all"), nodes, "{capacity} {most:?}");
    }
    snapshot.volumes.remove_room("drivers", "r");
    assert_eq!(asked(&mut snapshot, "all"), names(&[]));
    snapshot.volumes.set_driver(&driver(false));
    assert_eq!(asked(&mut snapshot, "all"), both);
}

#[test]
fn volumes_of_a_zone_are_used_there() {
    const ZONE: &str = "topology.kubernetes.io/zone";
    let node = |name: &str, zone: &str| {
        let mut node = zoned(name, zone);
        merge(&mut node, &json!({"metadata": {"labels": {ZONE: zone}}}));
        node
    };
    let mut snapshot = cluster(&[node("a1", "a"), node("b1", "b")], &[]);
    snapshot.volumes.set_volume(&json!({"metadata": {"name": "disk", "labels": {ZONE: "b__c"}}, "spec": {}}));
    snapshot.volumes.set_claim(&claim("data", "", "disk"));
    assert_eq!(choices(&mut snapshot, &claiming("p", &["data"], None)), names(&["b1"]));
    snapshot.remove_node("b1");
    assert_eq!(
        placed(&mut snapshot, &claiming("p", &["data"], None)),
        "0/1 nodes are available: 1 node(s) had no available volume zone."
    );
}

#[test]
fn a_claim_for_one_pod_is_had_by_one() {
    let with = |name: &str, priority: i64, node: Option<&str>| {
        pod(
            name,
            &json!({"metadata": {"uid": name}, "spec": {"priority": priority, "nodeName": node,
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "own"}}]}}),
        )
    };
    let mut snapshot = cluster(&[zoned("a1", "a"), zoned("b1", "b")], &[with("user", 1, Some("a1"))]);
    let claim = |mode: &str| json!({"metadata": {"name": "own", "namespace": "shop"}, "spec": {"volumeName": "disk", "accessModes": [mode]}});
    snapshot.volumes.set_volume(&json!({"metadata": {"name": "disk"}, "spec": {}}));
    snapshot.volumes.set_claim(&claim("ReadWriteOnce"));
    assert_eq!(choices(&mut snapshot, &with("other", 0, None)), names(&["a1", "b1"]));
    snapshot.volumes.set_claim(&claim("ReadWriteOncePod"));
    assert_eq!(
        placed(&mut snapshot, &with("other", 0, None)),
        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode."
    );
    // Who matters more gets it, on the node where the other one was.
    let vip = Pod::read(&with("vip", 9, None));
    let Decision::Unschedulable(why) = schedule(&mut snapshot, &vip, 0) else { panic!("it fits") };
    assert_eq!(&*preempt(&mut snapshot, &vip, &why, &[]).unwrap().node, "a1");
    snapshot.remove_pod("user");
    assert_eq!(choices(&mut snapshot, &with("other", 0, None)), names(&["a1", "b1"]));
}

#[test]
fn the_least_important_go_for_the_more_important() {
    let with = |name: &str, node: &str, amount: &str, priority: i64| {
        let mut value = app(name, name, &cpu(amount));
        merge(&mut value, &json!({"spec": {"nodeName": node, "priority": priority}}));
        value
    };
    let nodes = [node("n1", "4", &json!({})), node("n2", "4", &json!({}))];
    let running = [with("a", "n1", "2", 5), with("b", "n1", "2", 1), with("c", "n2", "4", 3)];
    let mut snapshot = cluster(&nodes, &running);
    let mut asks = |amount: &str, priority: i64, budgets: &[DisruptionBudget]| {
        let mut value = pod("p", &cpu(amount));
        merge(&mut value, &json!({"spec": {"priority": priority}}));
        let pod = Pod::read(&value);
        let Decision::Unschedulable(why) = schedule(&mut snapshot, &pod, 0) else { panic!("it fits") };
        let found = preempt(&mut snapshot, &pod, &why, budgets).ok()?;
        assert_eq!(snapshot.node("n1").unwrap().pods.len() + snapshot.node("n2").unwrap().pods.len(), 3);
        let victims: Vec<String> = found.victims.iter().map(|victim| victim.name.to_string()).collect();
        Some((found.node.to_string(), victims.join(","), found.violations))
    };
    let found =
        |node: &str, victims: &str, violations| Some((node.to_owned(), victims.to_owned(), violations));
    assert_eq!(asks("2", 10, &[]), found("n1", "b", 0));
    assert_eq!(asks("4", 10, &[]), found("n2", "c", 0));
    assert_eq!(asks("2", 1, &[]), None);
    assert_eq!(asks("5", 10, &[]), None);
    let budget = |app: &str| DisruptionBudget {
        namespace: "shop".to_owned(),
        selector: LabelSelector::parse(&format!("app={app}")).unwrap(),
        allowed: 0,
    };
    assert_eq!(asks("2", 10, &[budget("b")]), found("n2", "c", 0));
    assert_eq!(asks("2", 10, &[budget("b"), budget("c")]), found("n1", "a", 0));
    assert_eq!(asks("2", 10, &[budget("a"), budget("b"), budget("c")]), found("n1", "b", 1));
}

#[test]
fn k3_02_capacity_says_how_many_fit_and_what_runs_out() {
    let mut snapshot = cluster(&[node("n1", "4", &json!({})), node("n2", "2", &json!({}))], &[]);
    let like = Pod::read(&pod("p", &cpu("1500m")));
    let found = capacity(&mut snapshot, &like, 100);
    assert_eq!((found.pods, found.by_node["n1"], found.by_node["n2"]), (3, 2, 1));
    assert_eq!(found.limits, [("cpu".to_owned(), 2)]);
    let small = Pod::read(&pod("p", &cpu("1m")));
    assert_eq!(capacity(&mut snapshot, &small, 100).limits, [("pods".to_owned(), 2)]);
    assert_eq!(capacity(&mut snapshot, &small, 3).limits, []);
    assert_eq!(snapshot.nodes().map(|node| node.pods.len()).sum::<usize>(), 0);
}

#[test]
fn why_pending_names_all_that_is_wrong_and_the_least_that_helps() {
    let nodes = [
        node(
            "full",
            "1",
            &json!({"spec": {"taints": [{"key": "db", "value": "x", "effect": "NoSchedule"}]}}),
        ),
        node("cordoned", "4", &json!({"spec": {"unschedulable": true}})),
        node("small", "2", &json!({})),
    ];
    let mut snapshot = cluster(&nodes, &[]);
    let found = crate::why(&mut snapshot, &Pod::read(&pod("p", &cpu("3"))));
    let counts: Vec<_> = found.nodes.iter().map(|(node, misfits)| (&**node, misfits.len())).collect();
    assert_eq!(counts, [("cordoned", 1), ("small", 1), ("full", 2)]);
    assert_eq!(found.remedies(), ["uncordon cordoned"]);
    snapshot.remove_node("cordoned");
    let found = crate::why(&mut snapshot, &Pod::read(&pod("p", &cpu("3"))));
    assert_eq!(found.remedies(), ["free 1 cpu on small, or ask for 2"]);
    let gated = pod("p", &json!({"spec": {"schedulingGates": [{"name": "later"}]}}));
    let found = crate::why(&mut snapshot, &Pod::read(&gated));
    assert_eq!(found.everywhere.as_deref(), Some("waiting for scheduling gates: later"));
}
