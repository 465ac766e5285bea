//! Eviction: pods go when their node is short of something, or when they take more than they may.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::{TempDir, isolated, run};

use super::{busybox, condition, event, object, pod, sleeps, until};

/// This test's `/proc/meminfo`, which says what the test wants it to.
struct Meminfo {
    _folder: TempDir,
    file: PathBuf,
    real: String,
}

impl Meminfo {
    fn new() -> Self {
        let folder = TempDir::new();
        let (file, real) = (folder.join("meminfo"), fs::read_to_string("/proc/meminfo").unwrap());
        fs::write(&file, &real).unwrap();
        run(Command::new("mount").args(["--bind", &file.to_string_lossy(), "/proc/meminfo"])).ok();
        Self { _folder: folder, file, real }
    }

    fn set_available(&self, kib: Option<u64>) {
        let line = |line: &str| match (line.starts_with("MemAvailable:"), kib) {
            (true, Some(kib)) => format!("MemAvailable: {kib} kB\n"),
            _ => format!("{line}\n"),
        };
        fs::write(&self.file, self.real.lines().map(line).collect::<String>()).unwrap();
    }
}

/// A container that holds so much memory.
fn holds(megabytes: u32, requests: &Value) -> Value {
    let fills =
        format!("dd if=/dev/zero of=/dev/shm/held bs=1M count={megabytes} && touch /tmp/full && sleep 3600");
    json!({"command": ["sh", "-c", fills], "resources": {"requests": requests},
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/full"]}, "periodSeconds": 1}})
}

#[track_caller]
fn evicted(cluster: &Cluster, name: &str) -> String {
    let pod = until(cluster, &format!("pod/{name}"), "evicted", |pod| pod["status"]["reason"] == "Evicted");
    assert_eq!(pod["status"]["phase"], "Failed");
    let message = pod["status"]["message"].as_str().unwrap_or_default().to_owned();
    let target = condition(&pod, "DisruptionTarget").expect("a condition");
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    assert_eq!(target["message"], message);
    assert_eq!(event(cluster, name, "Evicted").trim(), message.trim());
    message
}

/// Waits until the node says that it is short of something or not, and has the taint that goes with it.
#[track_caller]
fn short_of(cluster: &Cluster, kind: &str, taint: &str, is_short: bool) {
    until(cluster, "node/n1", &format!("{kind} {is_short}"), |node| {
        let status = if is_short { "True" } else { "False" };
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let has = taints.iter().any(|it| it["key"] == taint && it["effect"] == "NoSchedule");
        condition(node, kind).is_some_and(|it| it["status"] == status) && has == is_short
    });
}

#[test]
fn whoever_uses_more_memory_than_it_asked_for_goes_first() {
    isolated(|| {
        let meminfo = Meminfo::new();
        let options =
            ["--eviction-hard", "memory.available<1Mi", "--eviction-pressure-transition-period", "1s"];
        let cluster = Cluster::start_with(busybox(), &options);
        cluster.apply(&pod("greedy", &holds(48, &json!({"memory": "10Mi"})), &json!({})));
        cluster.apply(&pod("modest", &holds(24, &json!({"memory": "100Mi"})), &json!({})));
        for name in ["greedy", "modest"] {
            cluster.wait_pod(name);
        }
        meminfo.set_available(Some(512));
        let why = evicted(&cluster, "greedy");
        let begin = "The node was low on resource: memory. Threshold quantity: 1Mi, available: 512Ki. Container app was using ";
        assert!(why.starts_with(begin), "{why}");
        assert!(why.ends_with("request is 10Mi, has larger consumption of memory. "), "{why}");
        short_of(&cluster, "MemoryPressure", "node.kubernetes.io/memory-pressure", true);
        // Who asks for nothing is not taken by a node that has none left.
        cluster.apply(&sleeps("late", &json!({}), &json!({"nodeName": "n1"})));
        let late = until(&cluster, "pod/late", "refused", |pod| pod["status"]["reason"] == "Evicted");
        assert_eq!(late["status"]["message"], "Pod was rejected: The node had condition: [MemoryPressure]. ");
        meminfo.set_available(None);
        short_of(&cluster, "MemoryPressure", "node.kubernetes.io/memory-pressure", false);
        cluster.apply(&sleeps("later", &json!({}), &json!({})));
        cluster.wait_pod("later");
        // Nothing of the one that went is left.
        let id = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let path = cluster
            .pods()
            .dir("memory")
            .join(format!("burstable/pod{}", id(&object(&cluster, "pod/greedy"))));
        assert!(!path.exists());
    });
}

#[test]
fn on_a_full_disk_unused_images_go_before_pods() {
    isolated(|| {
        let strake = busybox();
        let disk = strake.root().join("agent/kubelet");
        fs::create_dir_all(&disk).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64M", "disk", &disk.to_string_lossy()]))
            .ok();
        let options = [
            "--eviction-hard",
            "nodefs.available<40%",
            "--eviction-pressure-transition-period",
            "1s",
            "--minimum-image-ttl-duration",
            "1s",
        ];
        let layer = strake.home().join("layer.tar");
        fs::write(strake.home().join("word"), "one").unwrap();
        run(Command::new("tar").arg("-cf").arg(&layer).arg("-C").arg(strake.home()).arg("word")).ok();
        strake.ok(&["import", &layer.to_string_lossy(), "unused:v1"]);
        let cluster = Cluster::start_with(strake, &options);
        let volume = json!({"volumes": [{"name": "data", "emptyDir": {}}]});
        let writes = |megabytes: u32| {
            let writes =
                format!("dd if=/dev/zero of=/data/f bs=1M count={megabytes}; touch /tmp/full; sleep 3600");
            json!({"command": ["sh", "-c", writes], "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/full"]}, "periodSeconds": 1}})
        };
        cluster.apply(&pod("small", &writes(2), &volume));
        cluster.wait_pod("small");
        cluster.apply(&pod("large", &writes(45), &volume));
        let why = evicted(&cluster, "large");
        assert!(
            why.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: "),
            "{why}"
        );
        let images = cluster.strake().ok(&["images", "--format", "{{.Repository}}"]);
        assert!(images.contains("busybox") && !images.contains("unused"), "{images}");
        short_of(&cluster, "DiskPressure", "node.kubernetes.io/disk-pressure", false);
        assert_eq!(object(&cluster, "pod/small")["status"]["phase"], "Running");
    });
}

#[test]
fn pods_that_write_more_than_they_may_go() {
    isolated(|| {
        let cluster = super::cluster();
        let volume = json!({"volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]});
        let writes = json!({"command": ["sh", "-c", "dd if=/dev/zero of=/data/f bs=1M count=4; sleep 3600"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]});
        let limited = |command: &str| {
            json!({"command": ["sh", "-c", command],
                "resources": {"limits": {"ephemeral-storage": "1Mi"}, "requests": {"ephemeral-storage": "1Mi"}}})
        };
        let logs = limited("yes | head -c 4000000; sleep 3600");
        let layer = limited("dd if=/dev/zero of=/tmp/f bs=1M count=4; sleep 3600");
        cluster.apply(
            &[
                pod("volume", &writes, &volume),
                pod("logs", &logs, &json!({})),
                pod("layer", &layer, &json!({})),
            ]
            .join("\n---\n"),
        );
        let container = "Container app exceeded its local ephemeral storage limit \"1Mi\". ";
        let cases = [
            ("volume", "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\". "),
            ("logs", container),
            ("layer", container),
        ];
        for (name, why) in cases {
            let pod = until(&cluster, &format!("pod/{name}"), "evicted", |pod| {
                pod["status"]["reason"] == "Evicted"
            });
            assert_eq!((&pod["status"]["phase"], &pod["status"]["message"]), (&json!("Failed"), &json!(why)));
            // It did that itself: nobody's budget pays for it.
            assert_eq!(condition(&pod, "DisruptionTarget"), None);
        }
    });
}
