//! Rows ND-10, NW-15: services by their addresses, by nodes' ports and by name.

use testkit::isolated;

use super::{cluster, curl, exec, member};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 5\n      containers:\n      - {name: app, image: strake.local/tools, \
    imagePullPolicy: IfNotPresent, command: [/whoami], ports: [{name: http, containerPort: 80}]}\n";

const CLIENT: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: client}\nspec:\n  \
    terminationGracePeriodSeconds: 1\n  containers:\n  - {name: app, image: strake.local/tools, \
    imagePullPolicy: IfNotPresent, command: [sleep, '3600']}\n---\n";

/// A service of the pods of [`WEB`]; `more` stands in its `spec`, in flow style.
fn service(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: web}}\n  \
         ports: [{{name: http, port: 80}}]\n  {more}\n"
    )
}

#[test]
fn nd_10_and_nw_15_every_kind_of_service_answers() {
    isolated(|| {
        let cluster = cluster();
        let all = [
            WEB.to_owned(),
            service("web", ""),
            service("node", "type: NodePort"),
            service("balanced", "type: LoadBalancer"),
            service("headless", "clusterIP: None"),
            "---\napiVersion: v1\nkind: Service\nmetadata: {name: alias}\nspec: {type: ExternalName, \
             externalName: web.default.svc.cluster.local}\n---\n"
                .to_owned(),
            CLIENT.to_owned(),
        ];
        cluster.apply(&all.concat());
        cluster.wait_pod("client");
        cluster.wait_for(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"], "2");
        for name in ["web", "web.default", "web.default.svc.cluster.local", "headless", "alias", "balanced"] {
            let mut last = String::new();
            let answers = testkit::wait_until(std::time::Duration::from_secs(30), || {
                let fetched =
                    cluster.kubectl(&["exec", "client", "--", "probe", "http", &format!("http://{name}/")]);
                last = format!("{}{}", fetched.stdout, fetched.stderr);
                last.contains("Hostname: web-")
            });
            assert!(answers, "http://{name}/: {last}\n{}", cluster.report());
        }
        let port = member(&cluster, "service/node", ".spec.ports[0].nodePort");
        assert!(curl(&format!("http://192.168.77.1:{port}/")).ok().contains("Hostname: web-"));
        let outside = member(&cluster, "service/balanced", ".status.loadBalancer.ingress[0].ip");
        assert!(curl(&format!("http://{outside}/")).ok().contains("Hostname: web-"));
        let address = member(&cluster, "service/web", ".spec.clusterIP");
        assert!(address.starts_with("10.43."), "{address}");
        let found = exec(&cluster, "client", "app", &["probe", "dns", "headless.default.svc.cluster.local"]);
        let pods = member(&cluster, "pods", ".items[?(@.metadata.labels.app==\"web\")].status.podIP");
        assert!(pods.split(' ').all(|pod| found.contains(pod)), "{pods} in {found}");
    });
}
