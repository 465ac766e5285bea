//! Termination messages: what a container leaves for whoever asks why it ended.

use serde_json::{Value, json};
use testkit::isolated;

use super::{cluster, pod, until};

#[test]
fn containers_leave_last_words() {
    isolated(|| {
        let cluster = cluster();
        let fallback = json!("FallbackToLogsOnError");
        let long = "i=0; while test $i -lt 5000; do printf x; i=$((i+1)); done > /dev/termination-log";
        let lines = "i=0; while test $i -lt 200; do echo line $i; i=$((i+1)); done; exit 1";
        let tail: String = (120..200).map(|number| format!("line {number}\n")).collect();
        let cases: [(&str, Value, String); 7] = [
            (
                "file",
                json!({"command": ["sh", "-c", "echo -n bye > /dev/termination-log"]}),
                "bye".to_owned(),
            ),
            (
                "path",
                json!({"command": ["sh", "-c", "echo -n there > /tmp/words"], "terminationMessagePath": "/tmp/words",
                    "securityContext": {"runAsUser": 1000}}),
                "there".to_owned(),
            ),
            ("most", json!({"command": ["sh", "-c", long]}), "x".repeat(4096)),
            ("logs", json!({"command": ["sh", "-c", lines], "terminationMessagePolicy": fallback}), tail),
            (
                "both",
                json!({"command": ["sh", "-c", "echo log; echo -n file > /dev/termination-log; exit 1"],
                    "terminationMessagePolicy": fallback}),
                "file".to_owned(),
            ),
            (
                "well",
                json!({"command": ["sh", "-c", "echo log"], "terminationMessagePolicy": fallback}),
                String::new(),
            ),
            ("mute", json!({"command": ["sh", "-c", "echo log; exit 1"]}), String::new()),
        ];
        let all: Vec<String> = cases
            .iter()
            .map(|(name, container, _)| pod(name, container, &json!({"restartPolicy": "Never"})))
            .collect();
        cluster.apply(&all.join("\n---\n"));
        for (name, _, expected) in cases {
            let pod = until(&cluster, &format!("pod/{name}"), "over", |pod| {
                matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
            });
            let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            assert_eq!(ended["message"].as_str().unwrap_or_default(), expected, "{name}: {ended}");
        }
    });
}
