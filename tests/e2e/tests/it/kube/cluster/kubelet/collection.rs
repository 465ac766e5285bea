//! Garbage: images that nobody uses, and containers that nobody is shown any more.

use serde_json::json;
use testkit::cluster::Cluster;
use testkit::isolated;

use super::{busybox, pod, until};

#[test]
fn nd_05_unused_images_go_and_used_ones_stay() {
    isolated(|| {
        let strake = busybox();
        let options = [
            "--image-gc-high-threshold",
            "0",
            "--image-gc-low-threshold",
            "0",
            "--minimum-image-ttl-duration",
            "1s",
        ];
        let mut cluster = Cluster::start_with(strake, &options);
        cluster.apply(&super::sleeps("web", &json!({}), &json!({})));
        cluster.wait_pod("web");
        let images = |cluster: &Cluster| cluster.strake().ok(&["images", "--format", "{{.Repository}}"]);
        assert!(images(&cluster).contains("busybox"));
        cluster.crash_and_restart();
        cluster.wait_pod("web");
        assert!(images(&cluster).contains("busybox"), "{}", images(&cluster));
        cluster.kubectl(&["delete", "pod", "web"]).ok();
        testkit::wait_until(std::time::Duration::from_secs(60), || !images(&cluster).contains("busybox"));
    });
}

#[test]
fn lc_01_back_off_grows_and_old_containers_go() {
    isolated(|| {
        let cluster = super::cluster();
        cluster.apply(&pod("sad", &json!({"command": ["sh", "-c", "exit 3"]}), &json!({})));
        let third = until(&cluster, "pod/sad", "restarted three times", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(3)
        });
        let waits = until(&cluster, "pod/sad", "waiting", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        });
        let status = &waits["status"]["containerStatuses"][0];
        let why = status["state"]["waiting"]["message"].as_str().expect("a message");
        assert!(why.starts_with("back-off 40s restarting failed container=app pod=sad_default("), "{why}");
        assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
        assert!(
            super::event(&cluster, "sad", "BackOff")
                .starts_with("Back-off restarting failed container app in pod sad_default(")
        );
        // Of the four that ran, those that can still be shown are kept: the last and the one before.
        let all = cluster.strake().ok(&["ps", "-a", "-q"]);
        assert!(all.lines().count() <= 3, "with the pod's own: {all}");
        drop(third);
    });
}
