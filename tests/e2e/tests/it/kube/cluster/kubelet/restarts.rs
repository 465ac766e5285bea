//! Restarts, and the containers that nobody is shown any more.

use serde_json::json;
use testkit::isolated;

use super::{pod, until};

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
