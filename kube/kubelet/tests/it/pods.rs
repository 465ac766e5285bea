//! Pods from their first container to their end.

use client::Call;
use serde_json::{Value, json};

use crate::rig::{Rig, condition, pods};

fn one(name: &str) -> Value {
    json!({"containers": [{"name": name, "image": "nginx"}]})
}

const RUNNING: &str = "/phase";

#[tokio::test]
async fn nd_01_a_pod_is_pulled_started_and_reported() {
    let rig = Rig::new().await;
    rig.pod("web", one("c")).await;
    let pod = rig
        .until_status("web", &[(RUNNING, json!("Running")), ("/containerStatuses/0/ready", json!(true))])
        .await;
    let status = &pod["status"];
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(status["containerStatuses"][0]["imageID"], "nginx:latest");
    assert!(
        status["containerStatuses"][0]["containerID"].as_str().unwrap().starts_with("fake://c"),
        "{status}"
    );
    assert!(status["podIP"].as_str().unwrap().starts_with("10.42.0."), "{status}");
    assert_eq!((&status["hostIP"], &status["qosClass"]), (&json!("192.0.2.1"), &json!("BestEffort")));
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, kind), "True", "{kind}: {status}");
    }
    let calls = rig.runtime.calls();
    assert_eq!(calls[..3], ["sandbox web", "pull nginx:latest", "create c/0"], "{calls:?}");
    let config = rig.runtime.config(&rig.runtime.running("c").unwrap());
    let has = |key: &str| config.envs.iter().any(|pair| pair.key == key);
    assert!(has("KUBERNETES_SERVICE_HOST"), "{:?}", config.envs);
}

#[tokio::test]
async fn lc_01_what_crashes_is_restarted_with_back_off() {
    let rig = Rig::new().await;
    rig.pod("web", one("c")).await;
    rig.until_status("web", &[(RUNNING, json!("Running"))]).await;
    rig.runtime.end(&rig.runtime.running("c").unwrap(), 3);
    let pod = rig
        .until_status(
            "web",
            &[("/containerStatuses/0/restartCount", json!(1)), ("/containerStatuses/0/ready", json!(true))],
        )
        .await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(3), &json!("Error")));
    rig.runtime.end(&rig.runtime.running("c").unwrap(), 3);
    let waits = ("/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff"));
    let pod = rig.until_status("web", &[waits]).await;
    let why = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap();
    assert!(why.starts_with("back-off 10s restarting failed container=c pod=web_default("), "{why}");
    assert_eq!(condition(&pod, "Ready"), "False");
}

#[tokio::test]
async fn a_restarted_kubelet_finds_its_pods() {
    let mut rig = Rig::new().await;
    rig.pod("web", one("c")).await;
    rig.until_status("web", &[(RUNNING, json!("Running"))]).await;
    rig.runtime.end(&rig.runtime.running("c").unwrap(), 1);
    let counted = ("/containerStatuses/0/restartCount", json!(1));
    let before = rig.until_status("web", &[counted, ("/containerStatuses/0/ready", json!(true))]).await;
    rig.kill().await;
    let calls = rig.runtime.calls();
    rig.start();
    rig.pod("other", one("d")).await;
    rig.until_status("other", &[(RUNNING, json!("Running"))]).await;
    let after = rig.get("web").await.unwrap();
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"]);
    let new: Vec<String> = rig.runtime.calls().split_off(calls.len());
    assert!(!new.iter().any(|call| call.contains(" c/") || call.starts_with("stop")), "{new:?}");
}

#[tokio::test]
async fn what_was_deleted_while_the_kubelet_was_away_is_removed() {
    let mut rig = Rig::new().await;
    rig.pod("web", one("c")).await;
    rig.until_status("web", &[(RUNNING, json!("Running"))]).await;
    rig.kill().await;
    let force = |options: &mut client::CallOptions| options.grace_period_seconds = Some(0);
    rig.call(Call::delete(&pods(), "default", "web").with(force)).await.unwrap();
    rig.start();
    rig.until("the sandbox goes", async |rig| (rig.runtime.sandboxes() == 0).then_some(())).await;
}

#[tokio::test]
async fn deletion_waits_for_traffic_then_stops_then_lets_go() {
    let rig = Rig::new().await;
    rig.pod("web", one("c")).await;
    rig.until_status("web", &[(RUNNING, json!("Running"))]).await;
    rig.call(Call::delete(&pods(), "default", "web")).await.unwrap();
    rig.until("the pod goes", async |rig| rig.get("web").await.is_none().then_some(())).await;
    rig.until("the sandbox goes", async |rig| (rig.runtime.sandboxes() == 0).then_some(())).await;
    let told = rig.traffic.pods.lock().unwrap().clone();
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == "web" && !told[0].1.iter().any(|call| call.starts_with("stop")), "{told:?}");
    let left: Vec<_> = std::fs::read_dir(rig.dir.path().join("kubelet/pods")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_image_that_is_nowhere() {
    let rig = Rig::new().await;
    rig.pod("web", json!({"containers": [{"name": "c", "image": "missing"}]})).await;
    let pod = rig
        .until_status("web", &[("/containerStatuses/0/state/waiting/reason", json!("ErrImagePull"))])
        .await;
    assert_eq!(pod["status"]["phase"], "Pending");
    let back_off = ("/containerStatuses/0/state/waiting/reason", json!("ImagePullBackOff"));
    rig.until_status("web", &[back_off]).await;
    rig.pod("bad", json!({"containers": [{"name": "c", "image": "BAD"}]})).await;
    rig.until_status("bad", &[("/containerStatuses/0/state/waiting/reason", json!("InvalidImageName"))])
        .await;
}

#[tokio::test]
async fn what_never_restarts_succeeds_or_fails() {
    let rig = Rig::new().await;
    for (name, code, phase) in [("good", 0, "Succeeded"), ("bad", 1, "Failed")] {
        let mut spec = one(name);
        spec["restartPolicy"] = json!("Never");
        rig.pod(name, spec).await;
        rig.until_status(name, &[(RUNNING, json!("Running"))]).await;
        rig.runtime.end(&rig.runtime.running(name).unwrap(), code);
        let pod = rig.until_status(name, &[(RUNNING, json!(phase))]).await;
        assert_eq!(condition(&pod, "Ready"), "False");
        let told = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
        assert_eq!(told, &json!(code));
    }
}

#[tokio::test]
async fn init_containers_come_first_and_sidecars_stay() {
    let rig = Rig::new().await;
    let mut spec = one("c");
    spec["initContainers"] =
        json!([{"name": "side", "image": "x", "restartPolicy": "Always"}, {"name": "first", "image": "x"}]);
    rig.pod("web", spec).await;
    let init = rig.until("init runs", async |rig| rig.runtime.running("first")).await;
    assert!(rig.runtime.running("c").is_none() && rig.runtime.running("side").is_some());
    rig.runtime.end(&init, 0);
    let pod = rig
        .until_status("web", &[(RUNNING, json!("Running")), ("/containerStatuses/0/ready", json!(true))])
        .await;
    assert_eq!(pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(condition(&pod, "Initialized"), "True");
}

#[tokio::test]
async fn probes_decide_over_readiness_and_life() {
    let rig = Rig::new().await;
    rig.runtime.set_exec("ready", 1);
    let probe =
        |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 1});
    let mut spec = one("c");
    spec["containers"][0]["readinessProbe"] = probe("ready");
    spec["containers"][0]["livenessProbe"] = probe("alive");
    rig.pod("web", spec).await;
    let pod = rig.until_status("web", &[(RUNNING, json!("Running"))]).await;
    assert_eq!(condition(&pod, "Ready"), "False");
    rig.runtime.set_exec("ready", 0);
    rig.until_status("web", &[("/containerStatuses/0/ready", json!(true))]).await;
    rig.runtime.set_exec("alive", 1);
    rig.until("it is stopped", async |rig| {
        rig.runtime.calls().contains(&"stop container".to_owned()).then_some(())
    })
    .await;
    rig.runtime.set_exec("alive", 0);
    rig.until_status("web", &[("/containerStatuses/0/restartCount", json!(1))]).await;
}
