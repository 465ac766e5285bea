use super::*;
use crate::observed::Loop;
use crate::sim::World;

const LOOPS: &[Loop] = &[ENDPOINTS, SLICES, MIRRORING];

fn service(spec: &Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "a", "labels": {"team": "x"}}, "spec": spec})
}

fn selecting() -> Value {
    json!({"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]})
}

fn pod(number: usize, ready: bool) -> Value {
    json!({
        "metadata": {"name": format!("p{number}"), "namespace": "a", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", number / 250, number % 250),
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

#[test]
fn ready_and_unready() {
    let mut world = World::default();
    world.put("nodes", json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z"}}}));
    world.put("services", service(&selecting()));
    world.put("pods", pod(1, true));
    world.put("pods", pod(2, false));
    world.settle(LOOPS);
    let found = world.get("endpoints", "a", "web").unwrap();
    let subset = &found["subsets"][0];
    assert_eq!(subset["addresses"][0]["ip"], "10.1.0.1");
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.1.0.2");
    assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(found["metadata"]["labels"]["team"], "x");
    let slices = world.all("endpointslices");
    assert_eq!(slices.len(), 1);
    let slice = &slices[0];
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "x", "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    assert_eq!(
        (slice["addressType"].as_str(), slice["endpoints"].as_array().unwrap().len()),
        (Some("IPv4"), 2)
    );
    let first =
        slice["endpoints"].as_array().unwrap().iter().find(|one| one["addresses"][0] == "10.1.0.1").unwrap();
    assert_eq!(first["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
    assert_eq!((&first["zone"], &first["nodeName"]), (&json!("z"), &json!("n1")));

    world.change("pods", "a", "p1", |pod| {
        *pod = crate::object::with_finalizer(pod, "x/y");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    world.settle(LOOPS);
    assert!(world.get("endpoints", "a", "web").unwrap()["subsets"][0].get("addresses").is_none());
    let slice = &world.all("endpointslices")[0];
    let first =
        slice["endpoints"].as_array().unwrap().iter().find(|one| one["addresses"][0] == "10.1.0.1").unwrap();
    assert_eq!(first["conditions"], json!({"ready": false, "serving": true, "terminating": true}));
    world.remove("services", "a", "web");
    world.settle(LOOPS);
    assert_eq!((world.all("endpoints").len(), world.all("endpointslices").len()), (0, 0));
}

#[test]
fn nothing_selected_is_told() {
    let mut world = World::default();
    world.put("services", service(&selecting()));
    world.settle(LOOPS);
    assert!(world.get("endpoints", "a", "web").unwrap().get("subsets").is_none());
    let slices = world.all("endpointslices");
    assert_eq!((slices.len(), &slices[0]["endpoints"]), (1, &json!([])));
    world.put("pods", pod(1, true));
    world.settle(LOOPS);
    let slices = world.all("endpointslices");
    assert_eq!((slices.len(), slices[0]["endpoints"].as_array().unwrap().len()), (1, 1));
    // Without a selector, nobody writes anything.
    let mut world = World::default();
    world.put("services", service(&json!({"ports": [{"port": 80}]})));
    world.settle(LOOPS);
    assert_eq!((world.all("endpoints").len(), world.all("endpointslices").len()), (0, 0));
}

#[test]
fn many_are_split() {
    let mut world = World::default();
    world.put("services", service(&selecting()));
    for number in 0..250 {
        world.put("pods", pod(number, true));
    }
    world.settle(LOOPS);
    let sizes = |world: &World| {
        let slices = world.all("endpointslices");
        let mut sizes: Vec<_> =
            slices.iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&world).iter().sum::<usize>(), 250);
    assert!(sizes(&world).iter().all(|size| *size <= 100));
    let writes = world.log.iter().filter(|line| line.contains("endpointslices")).count();
    world.remove("pods", "a", "p7");
    world.settle(LOOPS);
    assert_eq!(sizes(&world).iter().sum::<usize>(), 249);
    let more = world.log.iter().filter(|line| line.contains("endpointslices")).count() - writes;
    assert_eq!(more, 1, "one slice changes");
}

#[test]
fn headless_and_both_families() {
    let mut world = World::default();
    let spec = json!({"selector": {"app": "web"}, "clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"],
        "publishNotReadyAddresses": true});
    world.put("services", service(&spec));
    let mut one = pod(1, false);
    one["spec"]["hostname"] = json!("host");
    one["spec"]["subdomain"] = json!("web");
    one["status"]["podIPs"] = json!([{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]);
    world.put("pods", one);
    world.settle(LOOPS);
    let found = world.get("endpoints", "a", "web").unwrap();
    assert_eq!(found["subsets"][0]["addresses"][0]["hostname"], "host");
    assert_eq!(found["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let slices = world.all("endpointslices");
    let of = |family: &str| slices.iter().find(|slice| slice["addressType"] == family).unwrap();
    assert_eq!(of("IPv6")["endpoints"][0]["addresses"], json!(["fd00::1"]));
    assert_eq!(of("IPv4")["endpoints"][0]["conditions"]["ready"], true);
}

#[test]
fn written_by_hand() {
    let mut world = World::default();
    world.put("services", service(&json!({"ports": [{"port": 80}]})));
    world.put("endpoints", json!({"metadata": {"name": "web", "namespace": "a"}, "subsets": [
        {"addresses": [{"ip": "1.2.3.4"}], "notReadyAddresses": [{"ip": "1.2.3.5"}], "ports": [{"port": 80, "protocol": "TCP"}]}]}));
    world.settle(LOOPS);
    let slices = world.all("endpointslices");
    assert_eq!(slices.len(), 1);
    assert_eq!(
        slices[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslicemirroring-controller.k8s.io"
    );
    assert_eq!(slices[0]["endpoints"].as_array().unwrap().len(), 2);
    assert_eq!(slices[0]["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    world.change("endpoints", "a", "web", |found| {
        found["subsets"][0]["addresses"][0]["ip"] = json!("9.9.9.9");
    });
    world.settle(LOOPS);
    assert!(world.all("endpointslices")[0].to_string().contains("9.9.9.9"));
    world.remove("endpoints", "a", "web");
    world.settle(LOOPS);
    assert_eq!(world.all("endpointslices").len(), 0);
}
