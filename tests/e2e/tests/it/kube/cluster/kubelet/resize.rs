//! In-place resize: limits of what runs, and of the pod around it.

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::isolated;

use super::{cgroup, cluster, condition, event, object, sleeps, until};

fn resources(request: (&str, &str), limit: (&str, &str)) -> Value {
    json!({"requests": {"cpu": request.0, "memory": request.1}, "limits": {"cpu": limit.0, "memory": limit.1}})
}

/// `kubectl patch --subresource resize` of the only container.
fn resize(cluster: &Cluster, pod: &str, resources: &Value) {
    let patch = json!({"spec": {"containers": [{"name": "app", "resources": resources}]}}).to_string();
    cluster.kubectl(&["patch", "pod", pod, "--subresource", "resize", "-p", &patch]).ok();
}

/// Waits until the container has what it was given, as the status says it.
#[track_caller]
fn resized(cluster: &Cluster, pod: &str, wanted: &Value) -> Value {
    until(cluster, &format!("pod/{pod}"), "resized", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["resources"] == *wanted
            && status["allocatedResources"] == wanted["requests"]
            && condition(pod, "PodResizePending").is_none()
            && condition(pod, "PodResizeInProgress").is_none()
    })
}

/// Quota and bytes of memory: of the pod, and of its container.
fn figures(cluster: &Cluster, pod: &Value) -> [(String, String); 2] {
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id");
    let id = id.rsplit('/').next().expect("an id");
    let own = format!("burstable/pod{uid}");
    [own.clone(), format!("{own}/{id}")].map(|below| {
        (
            cgroup(cluster, &below, "cpu", "cpu.cfs_quota_us"),
            cgroup(cluster, &below, "memory", "memory.limit_in_bytes"),
        )
    })
}

fn both(quota: &str, memory: &str) -> [(String, String); 2] {
    [(); 2].map(|()| (quota.to_owned(), memory.to_owned()))
}

#[test]
fn what_runs_grows_and_shrinks_in_place() {
    isolated(|| {
        let cluster = cluster();
        let first = resources(("100m", "32Mi"), ("200m", "64Mi"));
        cluster.apply(&sleeps("web", &json!({"resources": first}), &json!({})));
        cluster.wait_pod("web");
        let before = resized(&cluster, "web", &first);
        assert_eq!(figures(&cluster, &before), both("20000", "67108864"));
        for (wanted, quota, memory) in [
            (resources(("150m", "40Mi"), ("400m", "128Mi")), "40000", "134217728"),
            (resources(("50m", "16Mi"), ("100m", "32Mi")), "10000", "33554432"),
            (resources(("50m", "32Mi"), ("80m", "64Mi")), "8000", "67108864"),
        ] {
            resize(&cluster, "web", &wanted);
            let after = resized(&cluster, "web", &wanted);
            assert_eq!(figures(&cluster, &after), both(quota, memory), "{wanted}");
            let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
            assert_eq!(id(&after), id(&before));
            assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
            assert_eq!(after["status"]["observedGeneration"], after["metadata"]["generation"]);
        }
        for (reason, begin) in [
            ("ResizeStarted", "Pod resize started: {\"containers\":[{\"name\":\"app\",\"resources\":{"),
            ("ResizeCompleted", "Pod resize completed: {\"containers\":[{\"name\":\"app\",\"resources\":{"),
        ] {
            assert!(event(&cluster, "web", reason).starts_with(begin));
        }
    });
}

#[test]
fn a_container_that_wants_it_is_restarted_with_its_new_limits() {
    isolated(|| {
        let cluster = cluster();
        let policy = json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        let first = resources(("100m", "32Mi"), ("200m", "64Mi"));
        cluster.apply(&sleeps("web", &json!({"resources": first, "resizePolicy": policy}), &json!({})));
        cluster.wait_pod("web");
        let cpu = resources(("100m", "32Mi"), ("300m", "64Mi"));
        resize(&cluster, "web", &cpu);
        let after = resized(&cluster, "web", &cpu);
        assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
        let memory = resources(("100m", "32Mi"), ("300m", "128Mi"));
        resize(&cluster, "web", &memory);
        until(&cluster, "pod/web", "restarted", |pod| {
            let status = &pod["status"]["containerStatuses"][0];
            status["restartCount"] == 1 && status["ready"] == true
        });
        let after = resized(&cluster, "web", &memory);
        assert_eq!(figures(&cluster, &after), both("30000", "134217728"));
        assert!(event(&cluster, "web", "Killing").contains("resize requires restart"));
    });
}

#[test]
fn what_does_not_fit_waits_with_what_it_has() {
    isolated(|| {
        let cluster = cluster();
        let first = resources(("100m", "32Mi"), ("200m", "64Mi"));
        cluster.apply(&sleeps("web", &json!({"resources": first}), &json!({})));
        cluster.wait_pod("web");
        let pending = |reason: &'static str| {
            until(&cluster, "pod/web", reason, |pod| {
                condition(pod, "PodResizePending").is_some_and(|it| it["reason"] == reason)
            })
        };
        resize(&cluster, "web", &resources(("1000", "32Mi"), ("1000", "64Mi")));
        let pod = pending("Infeasible");
        let why = condition(&pod, "PodResizePending").expect("seen")["message"].clone();
        let why = why.as_str().expect("a message").to_owned();
        assert!(why.starts_with("Node didn't have enough capacity: cpu, requested: 1000000"), "{why}");
        assert_eq!(pod["status"]["containerStatuses"][0]["resources"], first);
        assert_eq!(pod["status"]["containerStatuses"][0]["allocatedResources"], first["requests"]);
        assert_eq!(figures(&cluster, &pod), both("20000", "67108864"));
        // Another pod has what this one wants, until it goes.
        let node = object(&cluster, "node/n1");
        let cores: u64 =
            node["status"]["allocatable"]["cpu"].as_str().expect("cores").parse().expect("whole");
        let most = json!({"requests": {"cpu": format!("{}m", cores * 1000 - 200)}});
        cluster.apply(&sleeps("greedy", &json!({"resources": most}), &json!({})));
        cluster.wait_pod("greedy");
        let wanted = resources(("500m", "32Mi"), ("500m", "64Mi"));
        resize(&cluster, "web", &wanted);
        pending("Deferred");
        for (reason, begin) in
            [("ResizeInfeasible", "Pod resize Infeasible: {"), ("ResizeDeferred", "Pod resize Deferred: {")]
        {
            let told = event(&cluster, "web", reason);
            assert!(
                told.starts_with(begin) && told.contains("\"error\":\"Node didn't have enough "),
                "{told}"
            );
        }
        cluster.kubectl(&["delete", "pod", "greedy"]).ok();
        let pod = resized(&cluster, "web", &wanted);
        assert_eq!(figures(&cluster, &pod), both("50000", "67108864"));
    });
}

#[test]
fn memory_that_is_used_is_not_taken() {
    isolated(|| {
        let cluster = cluster();
        let first = resources(("100m", "16Mi"), ("200m", "96Mi"));
        let fills = "dd if=/dev/zero of=/dev/shm/held bs=1M count=48 && touch /tmp/full && sleep 3600";
        let container = json!({"resources": first, "command": ["sh", "-c", fills],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/full"]}, "periodSeconds": 1}});
        cluster.apply(&sleeps("web", &container, &json!({})));
        cluster.wait_pod("web");
        let small = resources(("100m", "16Mi"), ("200m", "24Mi"));
        resize(&cluster, "web", &small);
        let pod = until(&cluster, "pod/web", "refused", |pod| {
            condition(pod, "PodResizeInProgress").is_some_and(|it| it["reason"] == "Error")
        });
        assert_eq!(pod["status"]["containerStatuses"][0]["resources"], first);
        assert_eq!(figures(&cluster, &pod)[1].1, "100663296");
        assert!(event(&cluster, "web", "ResizeError").starts_with("Pod resize error: {\"containers\":["));
        let larger = resources(("100m", "16Mi"), ("200m", "112Mi"));
        resize(&cluster, "web", &larger);
        let pod = resized(&cluster, "web", &larger);
        assert_eq!(figures(&cluster, &pod), both("20000", "117440512"));
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    });
}
