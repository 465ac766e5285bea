//! A server that is killed while things are under way.

use serde_json::{Value, json};
use testkit::{isolated, wait_for};

use super::{cluster, condition, object, pod, sleeps, until};

fn counts(pod: &Value) -> (Value, Value) {
    let status = &pod["status"]["containerStatuses"][0];
    (status["containerID"].clone(), status["restartCount"].clone())
}

#[test]
fn a_killed_server_finds_probes_and_ends_as_they_were() {
    isolated(|| {
        let mut cluster = cluster();
        let probe = json!({"exec": {"command": ["true"]}, "periodSeconds": 1});
        let probes = json!({"livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe});
        cluster.apply(&sleeps("well", &probes, &json!({})));
        // It fails at first, which only a probe that was asked before the crash and after it can add up.
        let starts = json!({"command": ["sh", "-c", "sleep 12; touch /tmp/up; sleep 3600"],
            "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 60}});
        cluster.apply(&pod("starting", &starts, &json!({})));
        let slow = "trap 'sleep 6; exit 0' TERM; touch /tmp/up; while true; do sleep 0.2; done";
        let ends = json!({"command": ["sh", "-c", slow], "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "2"]}}}});
        cluster.apply(&pod("ending", &ends, &json!({"terminationGracePeriodSeconds": 30})));
        cluster.apply(&pod(
            "finished",
            &json!({"command": ["sh", "-c", "echo -n done > /dev/termination-log"]}),
            &json!({"restartPolicy": "Never"}),
        ));
        cluster.wait_pod("well");
        cluster.wait_pod("ending");
        until(&cluster, "pod/finished", "over", |pod| pod["status"]["phase"] == "Succeeded");
        let (well, finished) = (object(&cluster, "pod/well"), object(&cluster, "pod/finished"));
        cluster.kubectl(&["delete", "pod", "ending", "--wait=false"]).ok();
        wait_for("its hook", || {
            super::event(&cluster, "ending", "Killing").contains("Stopping").then_some(())
        });
        cluster.crash_and_restart();
        cluster.wait_pod("starting");
        wait_for("it ends", || (cluster.kubectl(&["get", "pod", "ending"]).code != 0).then_some(()));
        let after = object(&cluster, "pod/well");
        assert_eq!(counts(&after), counts(&well));
        // It was ready all the time.
        assert_eq!(condition(&after, "Ready"), condition(&well, "Ready"));
        assert_eq!(counts(&object(&cluster, "pod/starting")).1, 0);
        let again = object(&cluster, "pod/finished");
        assert_eq!(again["status"]["containerStatuses"], finished["status"]["containerStatuses"]);
        assert_eq!(again["status"]["containerStatuses"][0]["state"]["terminated"]["message"], "done");
        // Nothing but what runs is left.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(&well["metadata"]["uid"].to_string()) || after["status"]["phase"] == "Running"
        );
    });
}
