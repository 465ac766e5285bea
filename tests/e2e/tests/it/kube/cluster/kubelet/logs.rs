//! Log files are kept small, and nothing that is still there is lost to whoever reads.

use serde_json::json;
use testkit::cluster::Cluster;
use testkit::{isolated, wait_for};

use super::{busybox, pod};

#[test]
fn logs_are_rotated_and_read_across() {
    isolated(|| {
        let options = ["--container-log-max-size", "64Ki", "--container-log-max-files", "3"];
        let cluster = Cluster::start_with(busybox(), &options);
        let talks = "i=0; while :; do i=$((i+1)); echo line $i; test $((i%500)) -eq 0 && sleep 1; done";
        cluster.apply(&pod("talker", &json!({"command": ["sh", "-c", talks]}), &json!({})));
        cluster.wait_pod("talker");
        let mut follower = cluster.kubectl_command(&["logs", "-f", "talker"]);
        let mut follower = follower.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let folder = cluster.strake().root().join("pod-logs");
        let own = std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .next()
            .expect("the pod's folder")
            .path()
            .join("app");
        let files = || {
            let mut names: Vec<String> = std::fs::read_dir(&own)
                .unwrap()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let mut most = 0;
        let first =
            wait_for("a file put aside", || files().into_iter().find(|name| name.starts_with("0.log.")));
        testkit::wait_until(std::time::Duration::from_secs(60), || {
            most = most.max(files().len());
            !files().contains(&first)
        });
        assert!(!files().contains(&first), "the oldest goes: {:?}", files());
        assert_eq!(most, 3, "with the one that is written");
        // Of the file that is written, as upstream: a moment after the change it has no line.
        let last = || cluster.kubectl(&["logs", "talker", "--tail=3"]).ok().lines().count();
        wait_for("the last lines", || (last() == 3).then_some(()));
        cluster.kubectl(&["delete", "pod", "talker"]).ok();
        wait_for("the logs go with the pod", || (!own.exists()).then_some(()));
        let read = std::io::read_to_string(follower.stdout.take().expect("piped")).unwrap();
        follower.wait().unwrap();
        for (at, line) in read.lines().enumerate() {
            assert_eq!(line, format!("line {}", at + 1));
        }
        assert!(read.lines().count() > 5000, "{}", read.lines().count());
    });
}
