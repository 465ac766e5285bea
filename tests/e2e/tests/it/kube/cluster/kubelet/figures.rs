//! Figures: the tree of cgroups, and what the kubelet's server says of its node.

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::{isolated, wait_for};

use super::{cgroup, cluster, exec, object, sleeps};

fn uid(cluster: &Cluster, pod: &str) -> String {
    object(cluster, &format!("pod/{pod}"))["metadata"]["uid"].as_str().expect("uid").to_owned()
}

/// Whether this machine's root may spare a process more than itself: `CAP_SYS_RESOURCE`.
fn may_lower_scores() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    u64::from_str_radix(held.trim(), 16).expect("a mask") & (1 << 24) != 0
}

#[test]
fn classes_of_service_have_their_cgroups() {
    isolated(|| {
        let cluster = cluster();
        let both = json!({"cpu": "500m", "memory": "64Mi"});
        let asks = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": "16Mi"}}});
        cluster.apply(
            &[
                sleeps("guaranteed", &json!({"resources": {"limits": both}}), &json!({})),
                sleeps("burstable", &asks("100m"), &json!({})),
                sleeps("more", &asks("200m"), &json!({})),
                sleeps("besteffort", &json!({}), &json!({})),
            ]
            .join("\n---\n"),
        );
        for name in ["guaranteed", "burstable", "more", "besteffort"] {
            cluster.wait_pod(name);
        }
        let shares = |below: &str| cgroup(&cluster, below, "cpu", "cpu.shares");
        let node = object(&cluster, "node/n1");
        let cores: u64 = node["status"]["capacity"]["cpu"].as_str().expect("cores").parse().expect("whole");
        assert_eq!(shares(""), (cores * 1024).to_string());
        // Two hundred and one hundred thousandths of a core ask for their share of 1024 together.
        assert_eq!((shares("burstable"), shares("besteffort")), ("307".to_owned(), "2".to_owned()));
        let guaranteed = format!("pod{}", uid(&cluster, "guaranteed"));
        assert_eq!(shares(&guaranteed), "512");
        assert_eq!(cgroup(&cluster, &guaranteed, "cpu", "cpu.cfs_quota_us"), "50000");
        assert_eq!(cgroup(&cluster, &guaranteed, "memory", "memory.limit_in_bytes"), "67108864");
        let burstable = format!("burstable/pod{}", uid(&cluster, "burstable"));
        assert_eq!(shares(&burstable), "102");
        assert_eq!(cgroup(&cluster, &burstable, "cpu", "cpu.cfs_quota_us"), "-1");
        assert_eq!(shares(&format!("besteffort/pod{}", uid(&cluster, "besteffort"))), "2");
        let score = |pod: &str| exec(&cluster, pod, "app", &["cat", "/proc/1/oom_score_adj"]);
        assert_eq!(score("besteffort"), "1000");
        if may_lower_scores() {
            assert_eq!(score("guaranteed"), "-997");
        }
        let between: i64 = score("burstable").parse().expect("a number");
        assert!((3..1000).contains(&between), "{between}");
        // Who goes takes its weight along.
        cluster.kubectl(&["delete", "pod", "more"]).ok();
        wait_for("the weight of one", || (shares("burstable") == "102").then_some(()));
    });
}

/// What the kubelet's server answers, through the API.
fn asked(cluster: &Cluster, path: &str) -> String {
    let path = format!("/api/v1/nodes/n1/proxy/{path}");
    cluster.kubectl(&["get", "--raw", &path]).ok().to_owned()
}

/// The figure of a metric; 0 where it is not there.
fn figure(text: &str, metric: &str) -> f64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(metric));
    // Behind it there may be its time.
    lines.find_map(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// A pod that is probed, writes 3 MiB and keeps a core busy; and one that fails its probe.
fn busy(cluster: &Cluster) {
    let probe =
        |code: &str| json!({"exec": {"command": ["sh", "-c", format!("exit {code}")]}, "periodSeconds": 1});
    let container = json!({"livenessProbe": probe("0"), "readinessProbe": probe("0"),
        "command": ["sh", "-c", "dd if=/dev/zero of=/data/f bs=1M count=3; echo line; while :; do :; done"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    cluster.apply(&super::pod("web", &container, &json!({"volumes": [{"name": "data", "emptyDir": {}}]})));
    cluster.apply(&sleeps("ill", &json!({"readinessProbe": probe("1")}), &json!({})));
    cluster.wait_pod("web");
}

#[test]
fn the_kubelet_tells_figures_and_answers_of_probes() {
    isolated(|| {
        let cluster = cluster();
        busy(&cluster);
        let id = uid(&cluster, "web");
        wait_for("counted answers", || {
            let text = asked(&cluster, "metrics/probes");
            let good = |kind: &str| {
                let labels = format!(
                    "container=\"app\",namespace=\"default\",pod=\"web\",pod_uid=\"{id}\",probe_type=\"{kind}\""
                );
                figure(&text, &format!("prober_probe_total{{{labels},result=\"successful\"}}")) >= 2.0
            };
            let bad = "prober_probe_duration_seconds_count{container=\"app\",namespace=\"default\",pod=\"ill\",probe_type=\"Readiness\"}";
            (good("Liveness") && good("Readiness") && figure(&text, bad) >= 2.0).then_some(())
        });
        let of = "{container=\"app\",namespace=\"default\",pod=\"web\"}";
        let of_pod = "{namespace=\"default\",pod=\"web\"}";
        wait_for("figures of the pod", || {
            let text = asked(&cluster, "metrics/resource");
            let all = [
                format!("container_cpu_usage_seconds_total{of}"),
                format!("container_memory_working_set_bytes{of}"),
                format!("container_start_time_seconds{of}"),
                format!("pod_cpu_usage_seconds_total{of_pod}"),
                format!("pod_memory_working_set_bytes{of_pod}"),
                "node_cpu_usage_seconds_total".to_owned(),
                "node_memory_working_set_bytes".to_owned(),
            ];
            let are_there = all.iter().all(|metric| figure(&text, metric) > 0.0);
            (are_there && text.lines().any(|line| line == "resource_scrape_error 0")).then_some(())
        });
    });
}

#[test]
fn a_summary_has_the_node_its_pods_and_what_they_store() {
    isolated(|| {
        let cluster = cluster();
        busy(&cluster);
        let (node, pod) = wait_for("a summary with the pod", || {
            let mut summary: Value = serde_json::from_str(&asked(&cluster, "stats/summary")).expect("JSON");
            let pods = summary["pods"].as_array()?;
            let pod = pods.iter().find(|pod| pod["podRef"]["name"] == "web")?.clone();
            let data = pod["volume"].as_array()?.iter().find(|volume| volume["name"] == "data")?;
            let is_whole =
                data["usedBytes"].as_u64()? >= 3 << 20 && pod["cpu"]["usageNanoCores"].as_u64()? > 0;
            is_whole.then(|| (summary["node"].take(), pod))
        });
        assert_eq!((&node["nodeName"], &pod["podRef"]["uid"]), (&json!("n1"), &json!(uid(&cluster, "web"))));
        let of_node = [
            "/cpu/usageCoreNanoSeconds",
            "/memory/workingSetBytes",
            "/memory/availableBytes",
            "/fs/availableBytes",
            "/fs/inodesFree",
            "/rlimit/maxpid",
            "/runtime/imageFs/usedBytes",
        ];
        let of_pod = [
            "/containers/0/cpu/usageCoreNanoSeconds",
            "/containers/0/memory/workingSetBytes",
            "/containers/0/rootfs/usedBytes",
            "/containers/0/logs/usedBytes",
            "/network/rxBytes",
            "/process_stats/process_count",
            "/ephemeral-storage/usedBytes",
        ];
        for (object, paths) in [(&node, of_node), (&pod, of_pod)] {
            for path in paths {
                assert!(object.pointer(path).is_some_and(Value::is_u64), "{path}: {object}");
            }
        }
    });
}
