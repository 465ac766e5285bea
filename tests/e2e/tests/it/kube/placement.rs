//! The scheduler as a process of its own, and the questions that one asks of it.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::{KubeServer, Part};
use testkit::{Documented, bin, wait_until};

struct Cluster {
    server: KubeServer,
    _scheduler: Part,
}

impl Cluster {
    fn new(nodes: &[Value]) -> Self {
        Self::on(KubeServer::start(), nodes)
    }

    fn on(server: KubeServer, nodes: &[Value]) -> Self {
        let scheduler = server.part(&["scheduler"]);
        let cluster = Self { server, _scheduler: scheduler };
        cluster.apply("nodes", nodes);
        for node in nodes {
            let name = node["metadata"]["name"].as_str().unwrap();
            let status = json!({"status": node["status"]}).to_string();
            cluster
                .server
                .kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status])
                .ok();
            // A new node is not ready; its kubelet would say that it is now.
            let taints = json!({"spec": {"taints": node["spec"]["taints"]}}).to_string();
            cluster.server.kubectl(&["patch", "node", name, "--type=merge", "-p", &taints]).ok();
        }
        cluster
    }

    fn apply(&self, what: &str, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.server.home().join(format!("{what}.json"));
        std::fs::write(&file, list.to_string()).unwrap();
        self.server.kubectl(&["create", "-f", &file.to_string_lossy()]).ok();
    }

    fn pods(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(self.server.kubectl(&["get", "pods", "-o", "json"]).ok()).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until every pod has a node or was told that there is none.
    fn decided(&self, count: usize) -> Vec<Value> {
        let mut pods = Vec::new();
        let decided = |pod: &Value| placed(pod).is_some() || refusal(pod).is_some();
        let done = wait_until(Duration::from_secs(60), || {
            pods = self.pods();
            pods.len() == count && pods.iter().all(decided)
        });
        assert!(done, "{pods:?}");
        pods
    }

    /// `strake ARGS` about this cluster.
    fn ask(&self, args: &[&str]) -> String {
        let mut command = self.server.command(&bin("strake"), args);
        testkit::run(&mut command).ok().to_owned()
    }
}

fn placed(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str()
}

fn refusal(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")?;
    found["message"].as_str()
}

fn node(name: &str, cpu: &str, labels: &Value, taints: &Value) -> Value {
    let mut all = json!({"kubernetes.io/hostname": name});
    for (key, value) in labels.as_object().unwrap() {
        all[key] = value.clone();
    }
    let amounts = json!({"cpu": cpu, "memory": "4Gi", "pods": "20"});
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": all},
        "spec": {"taints": taints},
        "status": {"capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]},
    })
}

fn pod(name: &str, more: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "registry.example/app:1"}]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let labels = json!({"app": name.split('-').next()});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})
}

fn asks(cpu: &str) -> Value {
    json!([{"name": "c", "image": "registry.example/app:1", "resources": {"requests": {"cpu": cpu}}}])
}

fn three_zones() -> [Value; 3] {
    let database = json!([{"key": "role", "value": "db", "effect": "NoSchedule"}]);
    [
        node("small", "1", &json!({"zone": "a"}), &json!([])),
        node("big", "8", &json!({"zone": "b", "disk": "ssd"}), &json!([])),
        node("db", "8", &json!({"zone": "c"}), &database),
    ]
}

#[test]
fn cp_04_pods_go_where_their_rules_allow() {
    let cluster = Cluster::new(&three_zones());
    let near = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "leader"}}, "topologyKey": "kubernetes.io/hostname"}]}});
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "apart"}}, "topologyKey": "zone"}]}});
    let in_zone = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}});
    let spread = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}}, "nodeTaintsPolicy": "Honor"}]);
    let tolerates = json!([{"key": "role", "operator": "Equal", "value": "db", "effect": "NoSchedule"}]);
    let before = [
        pod("leader", &json!({"nodeSelector": {"disk": "ssd"}})),
        pod("large", &json!({"containers": asks("3")})),
        pod("zoned", &json!({"affinity": in_zone})),
        pod("dbs", &json!({"tolerations": tolerates, "nodeSelector": {"zone": "c"}})),
        pod("untolerant", &json!({"nodeSelector": {"zone": "c"}})),
        pod("huge", &json!({"containers": asks("9")})),
    ];
    cluster.apply("first", &before);
    cluster.decided(before.len());
    let after = [
        pod("near", &json!({"affinity": near})),
        pod("apart-1", &json!({"affinity": apart})),
        pod("apart-2", &json!({"affinity": apart})),
        pod("apart-3", &json!({"affinity": apart})),
        pod("spread-1", &json!({"topologySpreadConstraints": spread})),
        pod("spread-2", &json!({"topologySpreadConstraints": spread})),
    ];
    cluster.apply("second", &after);
    let pods = cluster.decided(before.len() + after.len());
    let of = |name: &str| pods.iter().find(|pod| pod["metadata"]["name"] == name).unwrap();
    for (name, expected) in
        [("leader", "big"), ("large", "big"), ("zoned", "small"), ("dbs", "db"), ("near", "big")]
    {
        assert_eq!(placed(of(name)), Some(expected), "{name}");
    }
    let two = |names: [&str; 2]| {
        let mut nodes = names.map(|name| placed(of(name)).unwrap_or("none"));
        nodes.sort_unstable();
        nodes
    };
    assert_eq!(two(["spread-1", "spread-2"]), ["big", "small"]);
    let apart: Vec<_> =
        ["apart-1", "apart-2", "apart-3"].into_iter().filter_map(|name| placed(of(name))).collect();
    assert_eq!(apart.len(), 2, "two zones are open to them: {apart:?}");
    assert_ne!(apart[0], apart[1]);
    assert_eq!(
        refusal(of("untolerant")),
        Some(
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node \
             affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        )
    );
    // The questions have the same answers.
    let why = cluster.ask(&["why", "pending", "huge"]);
    assert!(why.contains("big: Insufficient cpu"), "{why}");
    assert!(why.contains("the least that would help: ") && why.contains("ask for"), "{why}");
    let why: Value = serde_json::from_str(&cluster.ask(&["why", "pending", "untolerant", "--json"])).unwrap();
    Documented::read("json-why-pending").check(&why);
    assert_eq!(why["nodes"].as_array().unwrap().len(), 3);
    assert!(why["help"][0].as_str().unwrap().contains("tolerate role=db:NoSchedule"), "{why}");
    assert!(cluster.ask(&["why", "pending", "leader"]).contains("it is on node big"));
}

#[test]
fn k3_02_what_capacity_says_fits_and_no_more() {
    let cluster = Cluster::new(&[
        node("n1", "2", &json!({}), &json!([])),
        node("n2", "1", &json!({}), &json!([])),
        node("full", "8", &json!({}), &json!([{"key": "closed", "effect": "NoSchedule"}])),
    ]);
    cluster.apply("before", &[pod("before", &json!({"containers": asks("500m")}))]);
    cluster.decided(1);
    let answer: Value =
        serde_json::from_str(&cluster.ask(&["capacity", "--cpu", "300m", "--memory", "64Mi", "--json"]))
            .unwrap();
    let fits = usize::try_from(answer["pods"].as_u64().unwrap()).unwrap();
    assert_eq!(answer["limits"][0]["limit"], "cpu", "{answer}");
    let text = cluster.ask(&["capacity", "--like", "before"]);
    assert!(text.contains("more fit") && text.contains("then the limit is cpu on 2 nodes"), "{text}");
    // One more than fit: all but one get a node.
    let more: Vec<Value> = (0..=fits)
        .map(|number| {
            let requests = json!({"cpu": "300m", "memory": "64Mi"});
            let container = json!({"name": "c", "image": "i", "resources": {"requests": requests}});
            pod(&format!("more-{number}"), &json!({"containers": [container]}))
        })
        .collect();
    cluster.apply("more", &more);
    let pods = cluster.decided(fits + 2);
    assert_eq!(pods.iter().filter(|pod| placed(pod).is_some()).count(), fits + 1);
    let waiting: Vec<_> = pods.iter().filter_map(refusal).collect();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].contains("2 Insufficient cpu"), "{waiting:?}");
    let left: Value = serde_json::from_str(&cluster.ask(&["capacity", "--cpu", "300m", "--json"])).unwrap();
    assert_eq!(left["pods"], 0);
}

#[test]
fn k3_05_capacity_shows_what_bounds_a_node() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_lowercase();
    let mut own = node(&host, "4", &json!({}), &json!([]));
    // Five addresses are left of eight; what the API counts would be enough for twenty pods.
    own["spec"]["podCIDR"] = json!("10.42.7.0/29");
    let cluster = Cluster::new(&[own]);
    let answer: Value = serde_json::from_str(&cluster.ask(&["capacity", "--cpu", "10m", "--json"])).unwrap();
    Documented::read("json-capacity").check(&answer);
    assert_eq!(answer["pods"], 5, "{answer}");
    assert_eq!(answer["limits"][0]["limit"], format!("addresses of {host}"));
    let resources = answer["resources"].as_array().unwrap();
    for name in [
        "cpu",
        "memory",
        "pods",
        "addresses",
        "pids",
        "files",
        "inotify instances",
        "inotify watches",
        "network Mbit/s",
    ] {
        let found = resources.iter().find(|one| one["resource"] == name);
        assert!(found.is_some_and(|one| one["used"].as_i64().unwrap() >= 0), "{name}: {answer}");
    }
}

/// A server without loops and scheduler, and both beside it as processes of their own.
#[test]
fn the_parts_of_a_control_plane_run_alone() {
    let server = KubeServer::start_with(&["--disable-controllers"]);
    let host = node("n1", "4", &json!({}), &json!([]));
    let cluster = Cluster::on(server, &[host]);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    });
    cluster.apply("deployment", &[deployment]);
    assert!(cluster.pods().is_empty(), "nobody makes pods yet");
    let loops = cluster.server.part(&["controllers"]);
    let pods = cluster.decided(3);
    assert!(pods.iter().all(|pod| placed(pod) == Some("n1")), "{pods:?}");
    // Both hold their Leases, so that others of their kind wait.
    for name in ["kube-scheduler", "kube-controller-manager"] {
        let path = "jsonpath={.spec.holderIdentity}";
        let holder = cluster.server.kubectl(&["get", "-n", "kube-system", "lease", name, "-o", path]);
        assert!(holder.ok().contains('_'), "{holder:?}");
    }
    // Another one takes over when it is killed, and finds everything as it is.
    drop(loops);
    cluster.server.kubectl(&["scale", "deployment", "web", "--replicas=4"]).ok();
    let _loops = cluster.server.part(&["controllers", "--leader-elect=false"]);
    let pods = cluster.decided(4);
    assert!(pods.iter().all(|pod| placed(pod).is_some()), "{pods:?}");
}
