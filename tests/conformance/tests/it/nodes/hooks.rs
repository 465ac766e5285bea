//! What a container is told when it has started and when it is about to end.

use serde_json::{Value, json};
use testkit::wait_until;

use super::{PATIENCE, Shared, cluster, idle_pod, name, shell_pod};

/// Where hooks report to: a pod that logs every path it is asked for.
struct Listener<'a> {
    cluster: &'a Shared,
    namespace: String,
    pod: String,
    address: String,
}

impl<'a> Listener<'a> {
    fn start(cluster: &'a Shared) -> Self {
        let namespace = cluster.namespace();
        let line = "mkdir /srv; echo heard > /srv/poststart; echo heard > /srv/prestop; \
             exec httpd -f -vv -p 8080 -h /srv";
        let mut pod = shell_pod(line);
        pod["spec"]["containers"][0]["readinessProbe"] =
            json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
        let pod = cluster.running(&namespace, &pod);
        let address = pod["status"]["podIP"].as_str().unwrap().to_owned();
        Self { cluster, namespace, pod: name(&pod).to_owned(), address }
    }

    #[track_caller]
    fn hears(&self, word: &str) {
        let mut said = String::new();
        let heard = wait_until(PATIENCE, || {
            said = self.cluster.logs(&self.namespace, &self.pod, "main");
            said.contains(&format!("url:/{word}"))
        });
        assert!(heard, "nobody asked for /{word}: {said}");
    }

    fn by_command(&self, word: &str) -> Value {
        let url = format!("http://{}:8080/{word}", self.address);
        json!({ "exec": { "command": ["sh", "-c", format!("wget -q -O - {url}")] } })
    }

    fn by_request(&self, word: &str) -> Value {
        json!({ "httpGet": { "host": self.address, "port": 8080, "path": format!("/{word}") } })
    }

    /// Runs a pod with hooks.
    fn run(&self, hooks: Value) -> String {
        let mut pod = idle_pod();
        // A hook that needs longer than its pod has is cut off.
        pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
        pod["spec"]["containers"][0]["lifecycle"] = hooks;
        let made = self.cluster.running(&self.namespace, &pod);
        format!("/api/v1/namespaces/{}/pods/{}", self.namespace, name(&made))
    }

    #[track_caller]
    fn end(&self, path: &str) {
        self.cluster.delete(path);
        self.cluster.gone(path);
        self.hears("prestop");
    }
}

/// `[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook
/// properly [NodeConformance] [Conformance]`
#[test]
fn container_lifecycle_hook_when_create_a_pod_with_lifecycle_hook_should_execute_poststart_exec_hook_properly()
 {
    let cluster = cluster();
    let listener = Listener::start(&cluster);
    listener.run(json!({ "postStart": listener.by_command("poststart") }));
    listener.hears("poststart");
}

/// `[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook
/// properly [NodeConformance] [Conformance]`
#[test]
fn container_lifecycle_hook_when_create_a_pod_with_lifecycle_hook_should_execute_poststart_http_hook_properly()
 {
    let cluster = cluster();
    let listener = Listener::start(&cluster);
    listener.run(json!({ "postStart": listener.by_request("poststart") }));
    listener.hears("poststart");
}

/// `[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook
/// properly [NodeConformance] [Conformance]`
#[test]
fn container_lifecycle_hook_when_create_a_pod_with_lifecycle_hook_should_execute_prestop_exec_hook_properly()
{
    let cluster = cluster();
    let listener = Listener::start(&cluster);
    let path = listener.run(json!({ "preStop": listener.by_command("prestop") }));
    listener.end(&path);
}

/// `[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook
/// properly [NodeConformance] [Conformance]`
#[test]
fn container_lifecycle_hook_when_create_a_pod_with_lifecycle_hook_should_execute_prestop_http_hook_properly()
{
    let cluster = cluster();
    let listener = Listener::start(&cluster);
    let path = listener.run(json!({ "preStop": listener.by_request("prestop") }));
    listener.end(&path);
}

/// `[sig-node] PreStop should call prestop when killing a pod [Conformance]`
#[test]
fn pre_stop_should_call_prestop_when_killing_a_pod() {
    let cluster = cluster();
    let listener = Listener::start(&cluster);
    let path = listener.run(json!({ "preStop": listener.by_command("prestop") }));
    assert!(!cluster.logs(&listener.namespace, &listener.pod, "main").contains("url:/prestop"));
    listener.end(&path);
}
