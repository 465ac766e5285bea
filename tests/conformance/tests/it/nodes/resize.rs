//! Requests and limits that change while the containers run.

use serde_json::{Value, json};

use super::{Shared, cluster, holds, idle_pod, name};

/// CPU request and limit in thousandths, memory request and limit in MiB; 0 for none.
#[derive(Clone, Copy)]
struct Amounts(u64, u64, u64, u64);

impl Amounts {
    /// The same limits as requests.
    fn same(cpu: u64, memory: u64) -> Self {
        Self(cpu, cpu, memory, memory)
    }

    fn json(self) -> Value {
        let mut resources = json!({});
        for (kind, cpu, memory) in [("requests", self.0, self.2), ("limits", self.1, self.3)] {
            if cpu > 0 {
                resources[kind]["cpu"] = json!(format!("{cpu}m"));
            }
            if memory > 0 {
                resources[kind]["memory"] = json!(format!("{memory}Mi"));
            }
        }
        resources
    }

    /// CPU shares, CPU quota in microseconds of each 100 ms, and memory limit in bytes, as a cgroup of version 1
    /// has them.
    fn cgroup(self) -> (u64, i64, Option<u64>) {
        let asked = if self.0 > 0 { self.0 } else { self.1 };
        let shares = (asked * 1024 / 1000).max(2);
        let quota = if self.1 > 0 { (i64::try_from(self.1).unwrap() * 100).max(1000) } else { -1 };
        (shares, quota, (self.3 > 0).then_some(self.3 << 20))
    }
}

/// Containers `c1`, `c2` … that are given other resources, and their first ones again.
struct Resized {
    cluster: Shared,
    namespace: String,
    path: String,
}

impl Resized {
    fn start(first: &[Amounts]) -> Self {
        let cluster = cluster();
        let namespace = cluster.namespace();
        let mut pod = idle_pod();
        let plain = pod["spec"]["containers"][0].clone();
        let container = |(at, amounts): (usize, &Amounts)| {
            let mut container = plain.clone();
            container["name"] = json!(format!("c{}", at + 1));
            container["resources"] = amounts.json();
            container
        };
        pod["spec"]["containers"] = first.iter().enumerate().map(container).collect();
        pod["spec"]["restartPolicy"] = json!("Always");
        let pod = cluster.running(&namespace, &pod);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}", name(&pod));
        let made = Self { cluster, namespace, path };
        made.is_at(first, 1);
        made
    }

    fn patch(&self, to: &[Amounts]) {
        let container = |(at, amounts): (usize, &Amounts)| {
            let mut resources = amounts.json();
            // What is not there any more is said.
            for (kind, name) in
                [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")]
            {
                if resources[kind][name].is_null() {
                    resources[kind][name] = Value::Null;
                }
            }
            json!({ "name": format!("c{}", at + 1), "resources": resources })
        };
        let containers: Vec<Value> = to.iter().enumerate().map(container).collect();
        let patch = json!({ "spec": { "containers": containers } });
        self.cluster.strategic(&format!("{}/resize", self.path), &patch);
    }

    /// The kubelet says that the pod has these resources, its cgroups have them too, and nothing was started again.
    #[track_caller]
    fn is_at(&self, to: &[Amounts], generation: i64) {
        let pod = self.cluster.until(&self.path, |pod| {
            let statuses = pod["status"]["containerStatuses"].as_array().unwrap();
            let settled = !["PodResizePending", "PodResizeInProgress"].iter().any(|kind| holds(pod, kind));
            settled
                && pod["status"]["observedGeneration"] == generation
                && to.iter().zip(statuses).all(|(amounts, status)| has(status, *amounts))
        });
        assert_eq!(pod["metadata"]["generation"], generation);
        for (at, amounts) in to.iter().enumerate() {
            assert_eq!(pod["spec"]["containers"][at]["resources"], amounts.json(), "c{}", at + 1);
            assert_eq!(pod["status"]["containerStatuses"][at]["restartCount"], 0);
            let (shares, quota, memory) = amounts.cgroup();
            let read = "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us \
                 /sys/fs/cgroup/memory/memory.limit_in_bytes";
            let container = format!("c{}", at + 1);
            let said = self.cluster.exec(&self.namespace, name(&pod), &container, &["sh", "-c", read]);
            let found: Vec<&str> = said.ok().split_whitespace().collect();
            assert_eq!(found[..2], [shares.to_string(), quota.to_string()], "{container}");
            assert!(memory.is_none_or(|memory| found[2] == memory.to_string()), "{container}: {found:?}");
        }
    }
}

fn has(status: &Value, amounts: Amounts) -> bool {
    let wanted = amounts.json();
    let allocated = wanted.get("requests").unwrap_or(&Value::Null);
    status["resources"] == wanted && &status["allocatedResources"] == allocated
}

/// There and back.
fn resizes(first: &[Amounts], then: &[Amounts]) {
    let made = Resized::start(first);
    made.patch(then);
    made.is_at(then, 2);
    made.patch(first);
    made.is_at(first, 3);
}

const CPU: [u64; 3] = [15, 20, 25];
const MEMORY: [u64; 3] = [30, 35, 40];

/// Three guaranteed containers, of which each gets less (0), the same (1) or more (2) CPU and memory.
fn guaranteed(changes: [(usize, usize); 3]) {
    let of = |at: usize, (cpu, memory): (usize, usize)| {
        Amounts::same(CPU[cpu] + 2 * at as u64, MEMORY[memory] + 2 * at as u64)
    };
    let all = |changes: [(usize, usize); 3]| [0, 1, 2].map(|at| of(at, changes[at]));
    resizes(&all([(1, 1); 3]), &all(changes));
}

/// `[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu &
/// mem on c1, c2, decrease cpu & mem on c3 - net increase [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pod_in_place_resize_container_guaranteed_pods_with_multiple_containers_3_containers_increase_cpu_mem_on_c1_c2_decrease_cpu_mem_on_c3_net_increase()
 {
    guaranteed([(2, 2), (2, 2), (0, 0)]);
}

/// `[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase cpu &
/// mem on c1, decrease cpu & mem on c2, c3 - net decrease [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pod_in_place_resize_container_guaranteed_pods_with_multiple_containers_3_containers_increase_cpu_mem_on_c1_decrease_cpu_mem_on_c2_c3_net_decrease()
 {
    guaranteed([(2, 2), (0, 0), (0, 0)]);
}

/// `[sig-node] Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - increase: CPU
/// (c1,c3), memory (c2, c3) ; decrease: CPU (c2) [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pod_in_place_resize_container_guaranteed_pods_with_multiple_containers_3_containers_increase_cpu_c1_c3_memory_c2_c3_decrease_cpu_c2()
 {
    guaranteed([(2, 1), (0, 2), (2, 2)]);
}

/// `[sig-node] Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed
/// (including adding limits and requests) [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pod_in_place_resize_container_burstable_pods_extended_6_containers_various_operations_performed_including_adding_limits_and_requests()
 {
    let first = [
        Amounts(20, 0, 0, 0),
        Amounts(0, 0, 35, 0),
        Amounts(20, 0, 35, 0),
        Amounts(20, 0, 0, 0),
        Amounts(0, 0, 35, 0),
    ];
    let then = [
        Amounts(25, 35, 0, 0),
        Amounts(0, 0, 30, 50),
        Amounts(20, 0, 30, 0),
        Amounts(15, 0, 35, 0),
        Amounts(20, 0, 40, 0),
    ];
    let made = Resized::start(&first);
    made.patch(&then);
    made.is_at(&then, 2);
}

/// `[sig-node] Pod InPlace Resize Container burstable pods - extended resize with equivalents
/// [MinimumKubeletVersion:1.34] [Conformance]`
#[test]
fn pod_in_place_resize_container_burstable_pods_extended_resize_with_equivalents() {
    resizes(&[Amounts(2, 10, 0, 0)], &[Amounts(1, 5, 0, 0)]);
}

/// `[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint [MinimumKubeletVersion:1.34]
/// [Conformance]`
#[test]
fn pod_in_place_resize_container_resize_pod_via_the_replace_endpoint() {
    let made = Resized::start(&[Amounts(20, 0, 35, 0)]);
    let then = Amounts(25, 0, 40, 0);
    let mut pod = made.cluster.get(&made.path);
    pod["spec"]["containers"][0]["resources"] = then.json();
    let answer = made.cluster.put(&format!("{}/resize", made.path), &pod);
    assert_eq!(answer["spec"]["containers"][0]["resources"], then.json());
    made.is_at(&[then], 2);
    let met = testkit::wait_until(super::PATIENCE, || {
        made.cluster.get(&format!("{}/resize", made.path)) == made.cluster.get(&made.path)
    });
    assert!(met, "the subresource is another object");
}
