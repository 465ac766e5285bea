//! Row LC-03: load rises and there are more pods; it ends and they go.

use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{isolated, wait_until};

use super::{cluster, curl, member};

/// The least that a pod asks for, so that little load is much.
const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 1\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 1\n      containers:\n      - name: app\n        image: busybox\n        \
    imagePullPolicy: IfNotPresent\n        resources: {requests: {cpu: 10m}}\n        \
    command: [sh, -c, 'mkdir -p /w/cgi-bin; printf \"#!/bin/sh\\necho; seq 20000 | wc -l\\n\" > /w/cgi-bin/work; \
    chmod 755 /w/cgi-bin/work; exec httpd -f -p 80 -h /w']\n\
    ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n\
    ---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  \
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  minReplicas: 1\n  maxReplicas: 10\n  \
    metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]\n  \
    behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n";

#[test]
fn lc_03_load_makes_ten_of_one_and_its_end_one_of_ten() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        let ready = || member(&cluster, "deployment/web", ".status.readyReplicas");
        let patience = std::time::Duration::from_secs(240);
        assert!(wait_until(patience, || ready() == "1"), "{}", cluster.report());
        let url = format!("http://{}/cgi-bin/work", member(&cluster, "service/web", ".spec.clusterIP"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        curl(&url);
                    }
                });
            }
            let risen = wait_until(patience, || ready() == "10");
            over.store(true, Ordering::Relaxed);
            let told = || cluster.kubectl(&["describe", "hpa", "web"]).stdout;
            assert!(risen, "{}\n{}", told(), cluster.report());
        });
        let described = cluster.kubectl(&["describe", "hpa", "web"]);
        assert!(described.ok().contains("SuccessfulRescale"), "{described:?}");
        assert!(
            described.ok().contains("cpu resource utilization (percentage of request) above target"),
            "{described:?}"
        );
        assert!(wait_until(patience, || ready() == "1"), "{}", cluster.report());
    });
}
