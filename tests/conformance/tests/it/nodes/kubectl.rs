//! `[sig-cli]`: kubectl with pods that run.

use serde_json::{Value, json};
use testkit::{Output, TempDir, wait_until};

use super::peer::{client, pod, server};
use super::{PATIENCE, Shared, cluster, name};

/// Runs kubectl in a namespace.
fn kubectl(cluster: &Shared, namespace: &str, args: &[&str]) -> Output {
    cluster.kubectl(&[&["-n", namespace], args].concat())
}

/// Runs kubectl with a file of these objects at the end of its command line.
fn with_file(cluster: &Shared, namespace: &str, args: &[&str], objects: &[Value]) -> Output {
    let scratch = TempDir::new();
    let file = scratch.join("objects.json");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    std::fs::write(&file, list.to_string()).unwrap();
    kubectl(cluster, namespace, &[args, &["-f", &file.to_string_lossy()]].concat())
}

/// Waits until kubectl says what is wanted.
#[track_caller]
fn until_says(cluster: &Shared, namespace: &str, args: &[&str], fits: impl Fn(&str) -> bool) {
    let mut last = None;
    let met = wait_until(PATIENCE, || {
        let said = kubectl(cluster, namespace, args);
        let fits = said.code == 0 && fits(said.stdout.trim());
        last = Some(said);
        fits
    });
    assert!(met, "{args:?}: {last:?}");
}

/// A replication controller of servers.
fn controller(name: &str, replicas: u32, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": { "name": name, "labels": labels },
        "spec": { "replicas": replicas, "selector": labels, "template": {
            "metadata": { "labels": labels }, "spec": server(name, json!({}))["spec"],
        } },
    })
}

fn pods(cluster: &Shared, namespace: &str, label: &str) -> Vec<String> {
    let list = cluster
        .get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", label.replace('=', "%3D")));
    list["items"].as_array().unwrap().iter().map(|pod| name(pod).to_owned()).collect()
}

/// The controller `agnhost-primary` with one pod, which runs.
fn primary(cluster: &Shared, namespace: &str) -> String {
    let labels = json!({ "app": "agnhost", "role": "primary" });
    with_file(cluster, namespace, &["create"], &[controller("agnhost-primary", 1, &labels)]).ok();
    let path = format!("/api/v1/namespaces/{namespace}/replicationcontrollers/agnhost-primary");
    cluster.until(&path, |found| found["status"]["readyReplicas"] == 1);
    pods(cluster, namespace, "app=agnhost").remove(0)
}

const DEMO: &str = "name=update-demo";

/// The demonstration of updates runs this many pods, and each says its name through the API.
#[track_caller]
fn demo_runs(cluster: &Shared, namespace: &str, count: usize) {
    let running = "go-template={{range .items}}{{range .status.containerStatuses}}{{if .state.running}}{{.name}} {{end}}{{end}}{{end}}";
    until_says(cluster, namespace, &["get", "pods", "-l", DEMO, "-o", running], |said| {
        said.split_whitespace().count() == count
    });
    for pod in pods(cluster, namespace, DEMO) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/hostname");
        let answered = wait_until(PATIENCE, || cluster.rig().get(&path).text() == pod);
        assert!(answered, "{path}");
    }
}

/// [sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]
#[test]
fn update_demo_should_create_and_stop_a_replication_controller() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "name": "update-demo" });
    let object = controller("update-demo-nautilus", 2, &labels);
    with_file(&cluster, &namespace, &["create"], std::slice::from_ref(&object)).ok();
    demo_runs(&cluster, &namespace, 2);
    with_file(&cluster, &namespace, &["delete", "--grace-period=0", "--force"], &[object]).ok();
    until_says(&cluster, &namespace, &["get", "rc,svc", "-l", DEMO, "--no-headers"], str::is_empty);
    let left =
        "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}";
    until_says(&cluster, &namespace, &["get", "pods", "-l", DEMO, "-o", left], str::is_empty);
}

/// [sig-cli] Kubectl client Update Demo should scale a replication controller [Conformance]
#[test]
fn update_demo_should_scale_a_replication_controller() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "name": "update-demo" });
    with_file(&cluster, &namespace, &["create"], &[controller("update-demo-nautilus", 2, &labels)]).ok();
    demo_runs(&cluster, &namespace, 2);
    for count in [1, 2] {
        let replicas = format!("--replicas={count}");
        kubectl(&cluster, &namespace, &["scale", "rc", "update-demo-nautilus", &replicas, "--timeout=5m"])
            .ok();
        demo_runs(&cluster, &namespace, count);
    }
}

/// A part of the guestbook: a deployment and its service.
fn tier(name: &str, port: u16, replicas: u32, args: &[&str]) -> [Value; 2] {
    let labels = json!({ "app": "guestbook", "part": name });
    let mut template = pod(name, json!({}), args);
    template["spec"]["containers"][0]["readinessProbe"] =
        json!({ "tcpSocket": { "port": port }, "periodSeconds": 1 });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": template["spec"] },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": labels, "ports": [{ "port": port }] },
    });
    [service, deployment]
}

/// [sig-cli] Kubectl client Guestbook application should create and stop a working application [Conformance]
#[test]
fn guestbook_should_create_and_stop_a_working_application() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let parts = [
        tier("agnhost-replica", 6379, 2, &["guestbook", "6379", "--of", "agnhost-primary:6379"]),
        tier("frontend", 80, 3, &["guestbook", "80", "--front"]),
        tier("agnhost-primary", 6379, 1, &["guestbook", "6379"]),
    ]
    .concat();
    with_file(&cluster, &namespace, &["create"], &parts).ok();
    let front = format!("/api/v1/namespaces/{namespace}/services/frontend/proxy/guestbook");
    let ask = |query: &str, wanted: &str| {
        let mut last = String::new();
        let met = wait_until(PATIENCE, || {
            let answer = cluster.rig().get(&format!("{front}?{query}"));
            last = format!("{} {}", answer.code, answer.text());
            answer.code == 200 && answer.json()["data"] == wanted
        });
        assert!(met, "{query}: {last}");
    };
    let written = wait_until(PATIENCE, || {
        cluster.rig().get(&format!("{front}?cmd=set&key=messages&value=TestEntry")).code == 200
    });
    assert!(written, "the frontend writes");
    ask("cmd=get&key=messages", "TestEntry");
    with_file(&cluster, &namespace, &["delete", "--grace-period=0", "--force"], &parts).ok();
    until_says(&cluster, &namespace, &["get", "deployments,services", "--no-headers"], str::is_empty);
}

/// Each line has all its words in some line of the text, in their order.
#[track_caller]
fn has_lines(text: &str, wanted: &[&[&str]]) {
    for words in wanted {
        let fits = |line: &str| {
            let mut rest = line;
            words.iter().all(|word| match rest.find(word) {
                Some(at) => {
                    rest = &rest[at + word.len()..];
                    true
                }
                None => false,
            })
        };
        assert!(text.lines().any(fits), "{words:?} in\n{text}");
    }
}

/// What `kubectl describe` says of each kind, by lines.
const OF_POD: &[&[&str]] = &[
    &["Name:", "agnhost-primary-"],
    &["Node:"],
    &["Labels:", "app=agnhost"],
    &["role=primary"],
    &["Annotations:"],
    &["Status:", "Running"],
    &["IP:"],
    &["Controlled By:", "ReplicationController/agnhost-primary"],
    &["Image:", "peer"],
    &["State:", "Running"],
    &["QoS Class:", "BestEffort"],
];
const OF_CONTROLLER: &[&[&str]] = &[
    &["Name:", "agnhost-primary"],
    &["Selector:", "app=agnhost,role=primary"],
    &["Labels:", "app=agnhost"],
    &["role=primary"],
    &["Annotations:"],
    &["Replicas:", "1 current", "1 desired"],
    &["Pods Status:", "1 Running", "0 Waiting", "0 Succeeded", "0 Failed"],
    &["Pod Template:"],
    &["Image:", "peer"],
    &["Events:"],
];
const OF_SERVICE: &[&[&str]] = &[
    &["Name:", "agnhost-primary"],
    &["Labels:", "app=agnhost"],
    &["role=primary"],
    &["Annotations:"],
    &["Selector:", "app=agnhost", "role=primary"],
    &["Type:", "ClusterIP"],
    &["IP:"],
    &["Port:", "<unset>", "6379/TCP"],
    &["Endpoints:"],
    &["Session Affinity:", "None"],
];
const OF_NODE: &[&[&str]] = &[
    &["Name:", "n1"],
    &["Labels:"],
    &["Annotations:"],
    &["CreationTimestamp:"],
    &["Conditions:"],
    &["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"],
    &["Addresses:"],
    &["Capacity:"],
    &["Allocatable:"],
    &["Kernel Version:"],
    &["OS Image:"],
    &["Container Runtime Version:"],
    &["Kubelet Version:"],
    &["Non-terminated Pods:"],
];

/// [sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc and pods [Conformance]
#[test]
fn kubectl_describe_should_print_relevant_information_for_rc_and_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = primary(&cluster, &namespace);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "agnhost-primary", "labels": { "app": "agnhost", "role": "primary" } },
        "spec": { "selector": { "app": "agnhost", "role": "primary" },
            "ports": [{ "port": 6379, "targetPort": 8080 }] },
    });
    with_file(&cluster, &namespace, &["create"], &[service]).ok();
    let describe =
        |what: &[&str]| kubectl(&cluster, &namespace, &[&["describe"], what].concat()).ok().to_owned();
    let own: &[&str] = &["Namespace:", &namespace];
    for (what, words) in [
        (&["pod", &pod][..], OF_POD),
        (&["rc", "agnhost-primary"], OF_CONTROLLER),
        (&["service", "agnhost-primary"], OF_SERVICE),
    ] {
        let said = describe(what);
        has_lines(&said, words);
        has_lines(&said, &[own]);
    }
    has_lines(&describe(&["node", "n1"]), OF_NODE);
    has_lines(
        &describe(&["namespace", &namespace]),
        &[&["Name:", &namespace], &["Labels:"], &["Annotations:"], &["Status:", "Active"]],
    );
}

/// [sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]
#[test]
fn kubectl_diff_should_find_a_difference_for_deployments() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let [_, mut deployment] = tier("httpd-deployment", 8080, 1, &["serve"]);
    with_file(&cluster, &namespace, &["create"], std::slice::from_ref(&deployment)).ok();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("busybox");
    let said = with_file(&cluster, &namespace, &["diff"], &[deployment]);
    said.exits(1);
    has_lines(&said.stdout, &[&["-", "image: peer"], &["+", "image: busybox"]]);
}

/// [sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]
#[test]
fn kubectl_expose_should_create_services_for_rc() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    primary(&cluster, &namespace);
    for (of, made, port) in [("rc/agnhost-primary", "rm2", "1234"), ("service/rm2", "rm3", "2345")] {
        let port_option = format!("--port={port}");
        let name = format!("--name={made}");
        kubectl(&cluster, &namespace, &["expose", of, &name, &port_option, "--target-port=8080"]).ok();
        let found = cluster.get(&format!("/api/v1/namespaces/{namespace}/services/{made}"));
        assert_eq!(found["spec"]["ports"][0]["port"].to_string(), port);
        assert_eq!(found["spec"]["ports"][0]["targetPort"], 8080);
        cluster.until(&format!("/api/v1/namespaces/{namespace}/endpoints/{made}"), |found| {
            found["subsets"][0]["ports"][0]["port"] == 8080
        });
    }
}

/// [sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]
#[test]
fn kubectl_label_should_update_the_label_on_a_resource() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    with_file(&cluster, &namespace, &["create"], &[client("pause")]).ok();
    let shown =
        || kubectl(&cluster, &namespace, &["get", "pod", "pause", "-L", "testing-label"]).ok().to_owned();
    kubectl(&cluster, &namespace, &["label", "pods", "pause", "testing-label=testing-label-value"]).ok();
    assert!(shown().contains("testing-label-value"));
    kubectl(&cluster, &namespace, &["label", "pods", "pause", "testing-label-"]).ok();
    assert!(!shown().contains("testing-label-value"));
}

/// [sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]
#[test]
fn kubectl_patch_should_add_annotations_for_pods_in_rc() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    primary(&cluster, &namespace);
    for pod in pods(&cluster, &namespace, "app=agnhost") {
        let patch = r#"{"metadata":{"annotations":{"x":"y"}}}"#;
        kubectl(&cluster, &namespace, &["patch", "pod", &pod, "-p", patch]).ok();
        let found = cluster.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"));
        assert_eq!(found["metadata"]["annotations"]["x"], "y");
    }
}

/// Runs a pod as `kubectl run` makes it.
fn run_pod(cluster: &Shared, namespace: &str, more: &[&str]) -> String {
    let args = ["run", "e2e-test-httpd-pod", "--image=peer", "--labels=run=e2e-test-httpd-pod"];
    let overridden = ["--image-pull-policy=IfNotPresent"];
    let command = ["--command", "--", "/peer", "serve"];
    kubectl(cluster, namespace, &[&args[..], &overridden, more, &command].concat()).ok();
    format!("/api/v1/namespaces/{namespace}/pods/e2e-test-httpd-pod")
}

/// [sig-cli] Kubectl client Kubectl replace should update a single-container pod's image [Conformance]
#[test]
fn kubectl_replace_should_update_a_single_container_pods_image() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = run_pod(&cluster, &namespace, &[]);
    cluster.until(&path, super::is_ready);
    let said = kubectl(&cluster, &namespace, &["get", "pod", "e2e-test-httpd-pod", "-o", "json"]);
    let mut object: Value = serde_json::from_str(said.ok()).unwrap();
    object["spec"]["containers"][0]["image"] = json!("busybox");
    with_file(&cluster, &namespace, &["replace"], &[object]).ok();
    assert_eq!(cluster.get(&path)["spec"]["containers"][0]["image"], "busybox");
    kubectl(&cluster, &namespace, &["delete", "pods", "e2e-test-httpd-pod", "--grace-period=1"]).ok();
}

/// [sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never [Conformance]
#[test]
fn kubectl_run_pod_should_create_a_pod_when_restart_is_never() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = run_pod(&cluster, &namespace, &["--restart=Never"]);
    let found = cluster.get(&path);
    assert_eq!(found["spec"]["restartPolicy"], "Never");
    assert_eq!(found["spec"]["containers"][0]["image"], "peer");
    cluster.until(&path, super::is_ready);
}

/// [sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]
#[test]
fn kubectl_server_side_dry_run_should_update_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let path = run_pod(&cluster, &namespace, &[]);
    let patch = r#"{"spec":{"containers":[{"name":"e2e-test-httpd-pod","image":"busybox"}]}}"#;
    let said = kubectl(
        &cluster,
        &namespace,
        &["patch", "pod", "e2e-test-httpd-pod", "-p", patch, "--dry-run=server", "-o", "json"],
    );
    let answered: Value = serde_json::from_str(said.ok()).unwrap();
    assert_eq!(answered["spec"]["containers"][0]["image"], "busybox");
    assert_eq!(cluster.get(&path)["spec"]["containers"][0]["image"], "peer");
}

/// [sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]
#[test]
fn kubectl_logs_should_retrieve_and_filter_logs() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut made = client("logs-generator");
    // A line at once, more of them slowly.
    let line = "n=0; while :; do echo \"line $n of what is written\"; n=$((n+1)); sleep 1; done";
    made["spec"]["containers"][0]["command"] = json!(["sh", "-c", line]);
    cluster.running(&namespace, &made);
    let logs = |args: &[&str]| {
        kubectl(&cluster, &namespace, &[&["logs", "logs-generator", "main"], args].concat()).ok().to_owned()
    };
    let written = wait_until(PATIENCE, || logs(&[]).lines().count() >= 3);
    assert!(written, "three lines");
    assert_eq!(logs(&["--tail=1"]).lines().count(), 1);
    assert_eq!(logs(&["--limit-bytes=1"]), "l");
    let stamped = logs(&["--tail=1", "--timestamps"]);
    let (stamp, rest) = stamped.split_once(' ').unwrap();
    assert_eq!(stamped.lines().count(), 1);
    assert!(stamp.ends_with('Z') && stamp.contains('T') && stamp.contains('.'), "{stamp}");
    assert!(rest.starts_with("line "), "{rest}");
    let all = wait_until(PATIENCE, || {
        let (recent, whole) = (logs(&["--since=1s"]).lines().count(), logs(&["--since=24h"]).lines().count());
        recent < whole && recent <= 2
    });
    assert!(all, "fewer lines of the last second than of the last day");
}
