//! Row RT-05: our kubelet over a runtime of somebody else's, Debian's containerd with runc and CNI plugins.

use std::fs;
use std::time::Duration;

use testkit::cluster::Cluster;
use testkit::{Strake, TempDir, isolated, wait_for, wait_until};

use super::{exec, member};
use crate::engines::containerd::Containerd;

/// Debian's containerd with a network for pods.
fn containerd() -> Containerd {
    let home = TempDir::new();
    fs::create_dir_all(home.join("cni")).unwrap();
    let network = NETWORK.replace("STATE", &home.join("cni-state").display().to_string());
    fs::write(home.join("cni.template"), network).unwrap();
    Containerd::start_in(home, PLUGINS)
}

/// A bridge of its own, with addresses from the range that the kubelet tells of.
const NETWORK: &str = r#"{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": {"type": "host-local", "dataDir": "STATE", "ranges": [[{"subnet": "{{.PodCIDR}}"}]],
      "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
"#;

/// What a test may not do is left out: AppArmor is not there, and scores of the kernel's killer only rise.
const PLUGINS: &str = r#"[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:latest"
  disable_apparmor = true
  restrict_oom_score_adj = true
  enable_selinux = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "HOME/cni"
    conf_template = "HOME/cni.template"
"#;

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 1\n      containers:\n      - {name: app, image: busybox, \
    imagePullPolicy: IfNotPresent, command: [sh, -c, 'hostname > /tmp/index.html; echo serving; exec httpd -f -p 80 -h /tmp'], \
    readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}, resources: {limits: {memory: 64Mi}}}\n      \
    - {name: side, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, 'trap exit TERM; while :; do sleep 1; done']}\n\
    ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n";

/// A cluster whose node is containerd's, with the image of pods and that of their first process.
fn cluster_over(containerd: &Containerd) -> Cluster {
    let strake = Strake::new().with_busybox();
    containerd.import_for_pods(&strake);
    let endpoint = format!("unix://{}", containerd.socket().display());
    Cluster::start_with(strake, &["--container-runtime-endpoint", &endpoint])
}

/// Waits until one of the pods answers by the Service's name.
fn answers_by_name(cluster: &Cluster, pods: [&str; 2]) {
    let ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc web 80 | tail -n 1";
    let mut last = String::new();
    let answers = wait_until(Duration::from_secs(30), || {
        let asked = cluster.kubectl(&["exec", pods[0], "-c", "side", "--", "sh", "-c", ask]);
        last = format!("{}{}", asked.stdout.trim(), asked.stderr);
        pods.contains(&last.as_str())
    });
    assert!(answers, "{last}\n{}", cluster.report());
}

#[test]
fn rt_05_our_kubelet_drives_debians_containerd() {
    isolated(|| {
        let containerd = containerd();
        let mut cluster = cluster_over(&containerd);
        let version = member(&cluster, "node/n1", ".status.nodeInfo.containerRuntimeVersion");
        assert!(version.starts_with("containerd://1.6."), "{version}");
        cluster.apply(WEB);
        let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
        let runs = wait_until(Duration::from_secs(60), || cluster.kubectl(&ready).stdout == "2");
        assert!(runs, "{}\n{}", cluster.report(), containerd.log());
        // They are containerd's, and none is our engine's.
        let tasks = containerd.ctr("k8s.io", &["tasks", "ls"]);
        assert_eq!(tasks.ok().matches("RUNNING").count(), 6);
        assert_eq!(cluster.strake().ok(&["ps", "-aq"]), "");

        let pods = member(&cluster, "pods", ".items[*].metadata.name");
        let (first, second) = pods.split_once(' ').expect("two pods");
        answers_by_name(&cluster, [first, second]);
        assert_eq!(cluster.kubectl(&["logs", first, "-c", "app"]).ok(), "serving");
        let status = format!("pod/{first}");
        let address = member(&cluster, &status, ".status.podIP");
        assert!(address.starts_with("10.42.0."), "{address}");
        wait_for("figures of the pod", || {
            let top = cluster.kubectl(&["top", "pod", first, "--containers", "--no-headers"]);
            (top.code == 0 && top.stdout.contains(" side ")).then_some(())
        });

        // The server's end is not theirs; what ends by itself is started again.
        let ids = ".status.containerStatuses[*].containerID";
        let before = member(&cluster, &status, ids);
        cluster.crash_and_restart();
        cluster.wait_pod(first);
        assert_eq!(member(&cluster, &status, ids), before);
        exec(&cluster, first, "side", &["kill", "-TERM", "1"]);
        let restarts = ".status.containerStatuses[?(@.name==\"side\")].restartCount";
        wait_for("a restart", || (member(&cluster, &status, restarts) == "1").then_some(()));
        cluster.wait_pod(first);
        assert_eq!(member(&cluster, &status, ".status.podIP"), address);

        cluster.kubectl(&["delete", "deployment", "web"]).ok();
        cluster.wait_for(&["get", "pods"], "No resources found in default namespace.\n");
        wait_for("containerd to have nothing left", || {
            let left = containerd.ctr("k8s.io", &["containers", "ls", "-q"]);
            left.stdout.is_empty().then_some(())
        });
    });
}
