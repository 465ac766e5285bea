//! Static pods: run from files, with or without an API, shown in it by what stands for them.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::isolated;

use super::{busybox, exec, object, sleeps, until};

const MIRROR: &str = "kubernetes.io/config.mirror";

fn file(word: &str) -> String {
    let container = json!({"command": ["sh", "-c", format!("echo {word} > /tmp/word; sleep 3600")]});
    sleeps("web", &container, &json!({}))
}

fn id(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default()
}

#[test]
fn files_are_pods() {
    isolated(|| {
        let strake = busybox();
        let folder = strake.home().join("manifests");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("web.yaml"), file("one")).unwrap();
        let mut cluster = Cluster::start_with(strake, &["--pod-manifests", &folder.to_string_lossy()]);
        cluster.wait_pod("web-n1");
        let first = object(&cluster, "pod/web-n1");
        assert_eq!(exec(&cluster, "web-n1", "app", &["cat", "/tmp/word"]), "one");
        assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "Node");

        // Whoever deletes what stands for it does not touch it.
        cluster.kubectl(&["delete", "pod", "web-n1"]).ok();
        let again = until(&cluster, "pod/web-n1", "there again", |pod| {
            pod["metadata"]["uid"] != first["metadata"]["uid"] && pod["status"]["phase"] == "Running"
        });
        assert_eq!(id(&again), id(&first));
        assert_eq!(again["status"]["containerStatuses"][0]["restartCount"], 0);

        // Another content is another pod.
        std::fs::write(folder.join("web.yaml"), file("two")).unwrap();
        let second = until(&cluster, "pod/web-n1", "the second", |pod| {
            pod["metadata"]["annotations"][MIRROR] != first["metadata"]["annotations"][MIRROR]
                && pod["status"]["containerStatuses"][0]["ready"] == true
        });
        assert_eq!(exec(&cluster, "web-n1", "app", &["cat", "/tmp/word"]), "two");
        assert_ne!(id(&second), id(&first));

        // A server that was away finds it as it was.
        cluster.crash_and_restart();
        cluster.wait_pod("web-n1");
        assert_eq!(id(&object(&cluster, "pod/web-n1")), id(&second));

        // And one whose file went while it was away ends it.
        cluster.terminate();
        std::fs::remove_file(folder.join("web.yaml")).unwrap();
        cluster.restart();
        // Nobody knows any more how long it wanted to have: it gets what pods get that say nothing.
        let gone = testkit::wait_until(Duration::from_secs(90), || {
            let pods = cluster.kubectl(&["get", "pods", "-o", "name"]);
            let running = cluster.strake().ok(&["ps", "-q"]);
            pods.code == 0 && pods.stdout.is_empty() && running.trim().is_empty()
        });
        assert!(gone, "{}", cluster.report());
    });
}
