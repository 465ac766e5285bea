//! Rows ND-02, ND-03, K3-01: what a node gives, and what it holds pods to.

use testkit::{isolated, run, wait_for};

use super::{cluster, exec, member, sleeper};

#[test]
fn nd_02_requests_never_add_up_to_more_than_there_is() {
    isolated(|| {
        let cluster = cluster();
        let millis = |quantity: &str| -> u64 {
            match quantity.strip_suffix('m') {
                Some(millis) => millis.parse().unwrap(),
                None => quantity.parse::<u64>().unwrap() * 1000,
            }
        };
        let allocatable = millis(&member(&cluster, "node/n1", ".status.allocatable.cpu"));
        // A fifth and a bit each: four fit, whatever the machine.
        let each = allocatable / 5 + 1;
        cluster.apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: asks}}\nspec:\n  replicas: 7\n  \
             selector: {{matchLabels: {{app: asks}}}}\n  template:\n    metadata: {{labels: {{app: asks}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: app, image: busybox, \
             imagePullPolicy: IfNotPresent, command: [sleep, '3600'], resources: {{requests: {{cpu: {each}m}}}}}}\n"
        ));
        cluster.wait_for(&["get", "deployment", "asks", "-o", "jsonpath={.status.readyReplicas}"], "4");
        let waiting = wait_for("three pods without a place", || {
            let path = ".items[?(@.status.phase==\"Pending\")].status.conditions[?(@.type==\"PodScheduled\")].message";
            let found = member(&cluster, "pods", path);
            (found.matches("1 Insufficient cpu").count() == 3).then_some(found)
        });
        assert!(waiting.contains("0/1 nodes are available"), "{waiting}");
        let placed = member(
            &cluster,
            "pods",
            ".items[?(@.spec.nodeName==\"n1\")].spec.containers[0].resources.requests.cpu",
        );
        assert!(placed.split(' ').map(millis).sum::<u64>() <= allocatable, "{placed} of {allocatable}m");
        let described = cluster.kubectl(&["describe", "node", "n1"]);
        assert!(described.ok().contains("Allocated resources:"), "{described:?}");
        // One that goes makes room for one that waits.
        let pod = member(&cluster, "pods", ".items[?(@.status.phase==\"Running\")].metadata.name");
        cluster.kubectl(&["delete", "pod", pod.split(' ').next().unwrap()]).ok();
        cluster.wait_for(&["get", "deployment", "asks", "-o", "jsonpath={.status.readyReplicas}"], "4");
    });
}

#[test]
fn nd_03_limits_are_the_kernels() {
    isolated(|| {
        let cluster = cluster();
        let limits = "resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 250m, memory: 32Mi}}";
        let with = |manifest: String| manifest.replace("command:", &format!("{limits}\n    command:"));
        cluster.apply(&with(sleeper("held", &["app"], "")));
        cluster.wait_pod("held");
        let id = member(&cluster, "pod/held", ".status.containerStatuses[0].containerID");
        let id = id.rsplit('/').next().unwrap().to_owned();
        let pid = cluster.strake().ok(&["inspect", "--format", "{{.State.Pid}}", &id]);
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let file = |controller: &str, name: &str| {
            let line = own.lines().find(|line| {
                line.split(':').nth(1).is_some_and(|it| it.split(',').any(|it| it == controller))
            });
            let path = line.and_then(|line| line.splitn(3, ':').nth(2)).expect("the controller's cgroup");
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
            let mounted = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let at = mounted
                .into_iter()
                .find(|words| words[2] == "cgroup" && words[3].split(',').any(|it| it == controller));
            let at = at.expect("a mount")[1].to_owned();
            std::fs::read_to_string(format!("{at}{path}/{name}")).unwrap().trim().to_owned()
        };
        assert_eq!(file("memory", "memory.limit_in_bytes"), (32_u64 << 20).to_string());
        assert_eq!(file("cpu", "cpu.shares"), "102");
        let quota: u64 = file("cpu", "cpu.cfs_quota_us").parse().unwrap();
        let period: u64 = file("cpu", "cpu.cfs_period_us").parse().unwrap();
        assert_eq!((quota * 4, period), (period, 100_000));
        // Over the one it is held up, over the other killed.
        exec(&cluster, "held", "app", &["sh", "-c", "(while :; do :; done) & sleep 0.5; kill $!"]);
        let throttled = file("cpu", "cpu.stat");
        let throttled = throttled.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
        assert_ne!(throttled, "0");
        let eats = sleeper("eats", &["app"], "restartPolicy: Never")
            .replace("[sleep, '3600']", "[sh, -c, 'dd if=/dev/zero of=/dev/null bs=64M count=1']");
        cluster.apply(&with(eats));
        let ended = "jsonpath={.status.containerStatuses[0].state.terminated.reason} \
            {.status.containerStatuses[0].state.terminated.exitCode}";
        cluster.wait_for(&["get", "pod", "eats", "-o", ended], "OOMKilled 137");
    });
}

#[test]
fn k3_01_the_ranges_are_those_of_small_clusters() {
    isolated(|| {
        let mut cluster = cluster();
        cluster.join(super::busybox(), &[]);
        let mut ranges: Vec<String> =
            member(&cluster, "nodes", ".items[*].spec.podCIDR").split(' ').map(str::to_owned).collect();
        ranges.sort();
        assert_eq!(ranges, ["10.42.0.0/24", "10.42.1.0/24"]);
        assert_eq!(member(&cluster, "nodes", ".items[*].status.allocatable.pods"), "110 110");
        cluster.apply(
            &(sleeper("a", &["app"], "nodeName: n1") + "---\n" + &sleeper("b", &["app"], "nodeName: n2")),
        );
        cluster.wait_pod("a");
        cluster.wait_pod("b");
        for (pod, node) in [("a", "n1"), ("b", "n2")] {
            let range = member(&cluster, &format!("node/{node}"), ".spec.podCIDR");
            let address = member(&cluster, &format!("pod/{pod}"), ".status.podIP");
            assert!(address.starts_with(range.trim_end_matches("0/24")), "{address} of {range}");
        }
        assert_eq!(member(&cluster, "service/kubernetes", ".spec.clusterIP"), "10.43.0.1");
        let route = run(std::process::Command::new("ip").args(["route", "show", "10.42.1.0/24"]));
        assert!(!route.ok().is_empty(), "no way to the other node's pods");
    });
}
