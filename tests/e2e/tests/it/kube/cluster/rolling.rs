//! Row LC-04: updates that no client notices.

use testkit::isolated;

use super::{cluster, load, member};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  \
    selector: {matchLabels: {app: web}}\n  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}\n  \
    template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 10\n      \
    containers:\n      - {name: app, image: strake.local/tools, imagePullPolicy: IfNotPresent, \
    command: [/whoami], ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}\n\
    ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n";

const UPDATES: usize = 10;

#[test]
fn lc_04_ten_updates_under_load_lose_no_request() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]).ok();
        let address = format!("{}:80", member(&cluster, "service/web", ".spec.clusterIP"));
        load::without_a_failure(&address, || {
            for update in 0..UPDATES {
                let patch = format!(
                    r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"update":"{update}"}}}}}}}}}}"#
                );
                cluster.kubectl(&["patch", "deployment", "web", "-p", &patch]).ok();
                cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=180s"]).ok();
            }
        });
    });
}
