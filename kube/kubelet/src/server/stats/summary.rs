//! `/stats/summary`: figures as the kubelet's stats API tells them.

use jiff::Timestamp;
use rpc::cri::ImageFsInfoResponse;
use serde_json::{Map, Value, json};

use super::figures::{Container, Figures, FileSystem, Host, Pod, Usage, Volume};

pub(super) fn of(node: &str, figures: &Figures, host: &Host, images: Option<&ImageFsInfoResponse>) -> Value {
    let time = time(host.time);
    let mut own = json!({
        "nodeName": node, "systemContainers": [],
        "startTime": self::time(host.started.saturating_mul(1_000_000_000)),
        "rlimit": {"time": time, "maxpid": host.processes_max, "curproc": host.processes},
    });
    add_usage(&mut own, &host.usage);
    if let (Some(disk), Some(fields)) = (host.disk, own.as_object_mut()) {
        fields.insert("fs".to_owned(), file_system(&disk, &time, disk.used));
        let images = images.and_then(|images| images.image_filesystems.first());
        let used = images.and_then(|found| found.used_bytes.as_ref()).map(|bytes| bytes.value);
        let of_images = file_system(&disk, &time, used.unwrap_or(disk.used));
        fields.insert("runtime".to_owned(), json!({"imageFs": of_images, "containerFs": of_images}));
    }
    let pods: Vec<Value> = figures.pods.iter().map(|found| pod(found, host, &time)).collect();
    json!({"node": own, "pods": pods})
}

fn pod(pod: &Pod, host: &Host, time: &str) -> Value {
    let containers: Vec<Value> = pod.containers.iter().map(|found| container(found, host, time)).collect();
    let mut out = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "containers": containers,
    });
    let Some(fields) = out.as_object_mut() else { return out };
    insert(fields, "startTime", (!pod.started.is_empty()).then(|| json!(pod.started)));
    insert(fields, "process_stats", pod.processes.map(|count| json!({"process_count": count})));
    let network = pod.network.as_ref().map(|network| {
        let interface = json!({
            "name": network.interface, "rxBytes": network.received, "rxErrors": network.received_errors,
            "txBytes": network.sent, "txErrors": network.sent_errors,
        });
        let mut all = interface.clone();
        if let Some(all) = all.as_object_mut() {
            all.insert("time".to_owned(), json!(self::time(network.time)));
            all.insert("interfaces".to_owned(), json!([interface]));
        }
        all
    });
    insert(fields, "network", network);
    let volumes: Vec<Value> = pod.volumes.iter().map(|found| volume(found, time)).collect();
    insert(fields, "volume", (!volumes.is_empty()).then_some(Value::Array(volumes)));
    let of_containers = pod
        .containers
        .iter()
        .map(|found| found.root.map_or(0, |root| root.used).saturating_add(found.logs.unwrap_or_default()));
    let used: u64 = of_containers.chain(pod.volumes.iter().map(|found| found.used)).sum();
    insert(fields, "ephemeral-storage", host.disk.map(|disk| file_system(&disk, time, used)));
    add_usage(&mut out, &pod.usage);
    out
}

fn volume(volume: &Volume, time: &str) -> Value {
    let mut out = file_system(&volume.disk, time, volume.used);
    out["name"] = json!(volume.name);
    out
}

fn container(container: &Container, host: &Host, time: &str) -> Value {
    let mut out = json!({"name": container.name});
    add_usage(&mut out, &container.usage);
    let Some(fields) = out.as_object_mut() else { return out };
    insert(fields, "startTime", (!container.started.is_empty()).then(|| json!(container.started)));
    let root = container.root.zip(host.disk).map(|(root, disk)| {
        let mut value = file_system(&disk, time, root.used);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("inodesUsed".to_owned(), json!(root.inodes));
        }
        value
    });
    insert(fields, "rootfs", root);
    let logs = container.logs.zip(host.disk).map(|(used, disk)| file_system(&disk, time, used));
    insert(fields, "logs", logs);
    out
}

fn add_usage(out: &mut Value, usage: &Usage) {
    let Some(fields) = out.as_object_mut() else { return };
    if let Some(cpu) = usage.cpu {
        let mut value = Map::new();
        value.insert("time".to_owned(), json!(time(cpu.time)));
        insert(&mut value, "usageNanoCores", cpu.rate.map(Into::into));
        value.insert("usageCoreNanoSeconds".to_owned(), json!(cpu.cumulative));
        fields.insert("cpu".to_owned(), value.into());
    }
    if let Some(memory) = usage.memory {
        let mut value = Map::new();
        value.insert("time".to_owned(), json!(time(memory.time)));
        for (name, bytes) in [
            ("availableBytes", memory.available),
            ("usageBytes", memory.usage),
            ("workingSetBytes", Some(memory.working_set)),
            ("rssBytes", memory.rss),
            ("pageFaults", memory.page_faults),
            ("majorPageFaults", memory.major_page_faults),
        ] {
            insert(&mut value, name, bytes.map(Into::into));
        }
        fields.insert("memory".to_owned(), value.into());
    }
    if let Some(swap) = usage.swap {
        let time = usage.memory.map_or_else(String::new, |memory| time(memory.time));
        fields.insert("swap".to_owned(), json!({"time": time, "swapUsageBytes": swap}));
    }
}

fn insert(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value);
    }
}

fn file_system(disk: &FileSystem, time: &str, used: u64) -> Value {
    json!({
        "time": time, "availableBytes": disk.available, "capacityBytes": disk.capacity, "usedBytes": used,
        "inodesFree": disk.inodes_free, "inodes": disk.inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.inodes_free),
    })
}

/// Nanoseconds since 1970 as the API writes times: to the second.
fn time(nanoseconds: i64) -> String {
    Timestamp::from_second(nanoseconds / 1_000_000_000).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Cpu, Memory};
    use super::*;

    #[test]
    fn tells_figures() {
        let usage = Usage {
            cpu: Some(Cpu { time: 1_700_000_000_000_000_000, cumulative: 9, rate: Some(3) }),
            memory: Some(Memory { working_set: 7, ..Memory::default() }),
            swap: None,
        };
        let one = Container { name: "c".to_owned(), usage, ..Container::default() };
        let pod = Pod { name: "p".to_owned(), usage, containers: vec![one], ..Pod::default() };
        let host = Host { disk: Some(FileSystem::default()), ..Host::default() };
        let value = of("n", &Figures { pods: vec![pod] }, &host, None);
        assert_eq!(value["node"]["nodeName"], "n");
        let cpu = json!({"time": "2023-11-14T22:13:20Z", "usageNanoCores": 3, "usageCoreNanoSeconds": 9});
        assert_eq!(value["pods"][0]["containers"][0]["cpu"], cpu);
        assert_eq!(value["pods"][0]["memory"]["workingSetBytes"], 7);
        assert!(value["pods"][0].get("startTime").is_none());
    }
}
