//! The node's object and status.

use std::collections::BTreeMap;
use std::fs;

use kube_api::quantity::{self, Quantity};
use rpc::cri::{ListImagesRequest, Status, StatusResponse};
use serde_json::{Map, Value, json};

use super::{Pressure, View};
use crate::config::Config;
use crate::kubelet::Shared;
use crate::model::Limits;
use crate::read::{at, items, text, time_text};
use crate::resources::cpu_shares;

/// Capacity, what pods may take of it, and the bytes of memory.
pub(super) fn capacity(config: &Config) -> (Value, Value, i64) {
    let memory = memory_total();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let disk = rustix::fs::statvfs(config.paths.root.as_path()).or_else(|_| rustix::fs::statvfs("/"));
    let disk = disk.map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    let pods = if config.node.max_pods == 0 { PODS_MAX } else { config.node.max_pods };
    let mut all: BTreeMap<String, String> = BTreeMap::from([
        ("cpu".to_owned(), cpus.to_string()),
        ("memory".to_owned(), format!("{}Ki", memory / 1024)),
        ("ephemeral-storage".to_owned(), format!("{}Ki", disk / 1024)),
        ("pods".to_owned(), pods.to_string()),
        ("hugepages-2Mi".to_owned(), "0".to_owned()),
        ("hugepages-1Gi".to_owned(), "0".to_owned()),
    ]);
    all.extend(config.node.capacity.clone());
    let evicted = i64::try_from(config.eviction.memory_bytes).unwrap_or_default();
    let left = |(name, amount): (&String, &String)| {
        let mut amount = Quantity::parse(amount).unwrap_or(Quantity::ZERO);
        if let Some(kept) = config.node.reserved.get(name).and_then(|kept| Quantity::parse(kept).ok()) {
            amount = amount.minus(kept);
        }
        if name == "memory" {
            amount = amount.minus(Quantity::from_int(evicted));
        }
        (name.clone(), json!(amount.max(Quantity::ZERO).to_string()))
    };
    let allocatable: Map<String, Value> = all.iter().map(left).collect();
    let memory =
        all.get("memory").and_then(|text| Quantity::parse(text).ok()).map_or(memory, Quantity::value);
    (json!(all), Value::Object(allocatable), memory)
}

/// The limits of all pods together: what the node has without what is kept from them.
pub(super) fn for_pods(config: &Config, capacity: &Value) -> Limits {
    let left = |name: &str| {
        let all = capacity.get(name).and_then(quantity::read).unwrap_or(Quantity::ZERO);
        let kept = config.node.reserved.get(name).and_then(|kept| Quantity::parse(kept).ok());
        all.minus(kept.unwrap_or(Quantity::ZERO)).max(Quantity::ZERO)
    };
    Limits {
        cpu_shares: cpu_shares(left("cpu").milli_value()),
        memory: left("memory").value(),
        ..Limits::default()
    }
}

fn memory_total() -> i64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kib.unwrap_or_default() * 1024
}

/// The object that a node registers with.
pub(super) fn node(config: &Config, view: &View) -> Value {
    let own = &config.node;
    let hostname = if own.hostname.is_empty() { &own.name } else { &own.hostname };
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname", hostname.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch()),
    ]);
    labels.extend(own.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let mut spec = json!({});
    if !own.taints.is_empty() {
        spec["taints"] = json!(own.taints);
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": own.name, "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "spec": spec,
        "status": {"capacity": view.capacity, "allocatable": view.allocatable},
    })
}

/// Why the runtime is not ready, if it is not.
pub(super) fn trouble(answer: &Result<StatusResponse, Status>) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(status) => return Some(format!("container runtime is down: {}", status.message())),
    };
    let conditions = answer.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let of = |kind: &str| conditions.iter().find(|condition| condition.r#type == kind);
    for (kind, what) in [("RuntimeReady", "container runtime"), ("NetworkReady", "container runtime network")]
    {
        match of(kind) {
            Some(condition) if condition.status => {}
            Some(condition) => {
                return Some(format!(
                    "{what} not ready: {kind}=false reason:{} message:{}",
                    condition.reason, condition.message
                ));
            }
            None => return Some(format!("{what} status check may not have completed yet")),
        }
    }
    None
}

/// The images that the node has, the largest first, as the status lists them.
pub(super) async fn images(shared: &Shared) -> Value {
    let Ok(listed) = shared.config.images.list_images(ListImagesRequest::default()).await else {
        return json!([]);
    };
    let mut images = listed.images;
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    let one = |image: &rpc::cri::Image| {
        let names: Vec<&String> = image.repo_digests.iter().chain(&image.repo_tags).take(NAMES_MAX).collect();
        json!({"names": names, "sizeBytes": image.size})
    };
    let named = images.iter().filter(|image| !(image.repo_tags.is_empty() && image.repo_digests.is_empty()));
    named.take(IMAGES_MAX).map(one).collect()
}

/// The node's status.
pub(super) fn status(shared: &Shared, node: &Value, trouble: Option<&str>, images: &Value) -> Value {
    let (config, view) = (&shared.config, shared.view());
    let hostname = if config.node.hostname.is_empty() { &config.node.name } else { &config.node.hostname };
    let mut addresses: Vec<Value> =
        config.node.addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
    addresses.push(json!({"type": "Hostname", "address": hostname}));
    let mut status = json!({
        "capacity": view.capacity, "allocatable": view.allocatable, "addresses": addresses,
        "conditions": conditions(shared, node, &view, trouble),
        "nodeInfo": info(&view), "images": images,
    });
    if config.node.port > 0 {
        status["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": config.node.port}});
    }
    status
}

fn conditions(shared: &Shared, node: &Value, view: &View, trouble: Option<&str>) -> Vec<Value> {
    let now = json!(time_text(shared.now()));
    let old = items(node, &["status", "conditions"]);
    let mut all = Vec::new();
    let mut add = |kind: &str, is_true: bool, reason: &str, message: &str| {
        let status = if is_true { "True" } else { "False" };
        let before = old.iter().find(|before| text(before, &["type"]) == kind);
        let since = before
            .filter(|before| text(before, &["status"]) == status)
            .and_then(|before| at(before, &["lastTransitionTime"]).cloned());
        all.push(json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or_else(|| now.clone())}));
    };
    for (pressure, kind, bad, good, has, lacks) in [
        (
            Pressure::Memory,
            "MemoryPressure",
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "kubelet has insufficient memory available",
            "kubelet has sufficient memory available",
        ),
        (
            Pressure::Disk,
            "DiskPressure",
            "KubeletHasDiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has disk pressure",
            "kubelet has no disk pressure",
        ),
        (
            Pressure::Pids,
            "PIDPressure",
            "KubeletHasInsufficientPID",
            "KubeletHasSufficientPID",
            "kubelet has insufficient PID available",
            "kubelet has sufficient PID available",
        ),
    ] {
        let is_there = view.pressure.contains_key(&pressure);
        add(kind, is_there, if is_there { bad } else { good }, if is_there { has } else { lacks });
    }
    match trouble {
        None => add("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        Some(why) => add("Ready", false, "KubeletNotReady", why),
    }
    all
}

/// The status without what changes at every look.
pub(super) fn without_times(status: &Value) -> Value {
    let mut copy = status.clone();
    for condition in copy["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastHeartbeatTime");
            condition.remove("lastTransitionTime");
        }
    }
    copy
}

fn info(view: &View) -> Value {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = rustix::system::uname();
    json!({
        "machineID": line("/etc/machine-id"), "systemUUID": line("/sys/class/dmi/id/product_uuid"),
        "bootID": line("/proc/sys/kernel/random/boot_id"), "kernelVersion": kernel.release().to_string_lossy(),
        "osImage": name.map(|name| name.trim_matches('"')).unwrap_or("Linux"),
        "containerRuntimeVersion": format!("{}://{}", view.runtime, view.runtime_version),
        "kubeletVersion": VERSION, "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": arch(),
    })
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The version of the API whose kubelet this is.
const VERSION: &str = concat!("v1.36.0+strake", env!("CARGO_PKG_VERSION"));
const PODS_MAX: u32 = 110;
/// Images that the status lists, and names of each.
const IMAGES_MAX: usize = 50;
const NAMES_MAX: usize = 5;
