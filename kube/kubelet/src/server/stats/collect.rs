//! Asking the runtime, and putting containers to their pods.

use std::collections::BTreeMap;

use rpc::cri::{
    Code, ContainerStats, CpuUsage, ListContainerStatsRequest, ListPodSandboxStatsRequest, MemoryUsage,
    PodSandboxStats, SwapUsage, UInt64Value,
};
use serde_json::Value;

use super::Samples;
use super::figures::{Container, Cpu, Disk, Figures, Memory, Network, Pod, Usage, Volume};
use crate::server::Server;
use crate::server::answer::Refusal;
use crate::server::node::{CONTAINER_NAME, POD_UID, at};

impl Server {
    /// What all pods use now.
    pub(super) async fn figures(&self) -> Result<Figures, Refusal> {
        let runtime = self.node.runtime();
        let containers = runtime.list_container_stats(ListContainerStatsRequest::default()).await?.stats;
        let sandboxes = match runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest::default()).await {
            Ok(answer) => answer.stats,
            // Older runtimes know nothing of a whole pod.
            Err(status) if status.code() == Code::Unimplemented => Vec::new(),
            Err(status) => return Err(status.into()),
        };
        let pods = self.node.pods();
        let figures = join(&pods, &containers, &sandboxes, &self.samples);
        let ids = figures
            .pods
            .iter()
            .flat_map(|pod| pod.containers.iter().map(|found| found.id.as_str()).chain([pod.uid.as_str()]));
        self.samples.retain(&ids.collect::<Vec<_>>());
        Ok(figures)
    }
}

impl Server {
    /// Adds what pods hold of the disk, which takes longer to measure.
    pub(super) async fn add_stored(&self, figures: Figures) -> Figures {
        let node = std::sync::Arc::clone(&self.node);
        let measured = tokio::task::spawn_blocking(move || {
            let (pods, mut figures) = (node.pods(), figures);
            for found in &mut figures.pods {
                let Some(pod) = pods.iter().find(|pod| at(pod, "/metadata/uid") == found.uid) else {
                    continue;
                };
                let stored = node.stored(pod);
                for container in &mut found.containers {
                    container.logs = stored.logs.get(&container.name).copied();
                }
                let volume = |(name, used, path): (String, u64, std::path::PathBuf)| {
                    Some(Volume { name, used, disk: super::host::file_system(&path)? })
                };
                found.volumes = stored.volumes.into_iter().filter_map(volume).collect();
            }
            figures
        });
        measured.await.unwrap_or_default()
    }
}

/// Puts figures to pods. A container that the API does not know is nobody's.
fn join(
    pods: &[std::sync::Arc<Value>],
    containers: &[ContainerStats],
    sandboxes: &[PodSandboxStats],
    samples: &Samples,
) -> Figures {
    let mut by_pod: BTreeMap<&str, Vec<&ContainerStats>> = BTreeMap::new();
    for stats in containers {
        let uid = stats.attributes.as_ref().and_then(|it| it.labels.get(POD_UID));
        by_pod.entry(uid.map_or("", String::as_str)).or_default().push(stats);
    }
    let whole: BTreeMap<&str, &PodSandboxStats> = sandboxes
        .iter()
        .filter_map(|stats| Some((stats.attributes.as_ref()?.metadata.as_ref()?.uid.as_str(), stats)))
        .collect();
    let pods = pods.iter().filter_map(|pod| {
        let uid = at(pod, "/metadata/uid");
        let own = by_pod.get(uid).map(Vec::as_slice).unwrap_or_default();
        let whole = whole.get(uid).copied();
        if own.is_empty() && whole.is_none() {
            return None;
        }
        Some(one(pod, own, whole, samples))
    });
    Figures { pods: pods.collect() }
}

fn one(pod: &Value, own: &[&ContainerStats], whole: Option<&PodSandboxStats>, samples: &Samples) -> Pod {
    let uid = at(pod, "/metadata/uid");
    let containers: Vec<Container> = own.iter().filter_map(|stats| container(pod, stats, samples)).collect();
    let linux = whole.and_then(|whole| whole.linux.as_ref());
    let mut usage = linux.map_or_else(Usage::default, |linux| {
        usage((uid, linux.cpu.as_ref(), linux.memory.as_ref()), None, samples)
    });
    let sum = Usage::sum(containers.iter().map(|found| &found.usage));
    usage.cpu = usage.cpu.or(sum.cpu);
    usage.memory = usage.memory.or(sum.memory);
    usage.swap = usage.swap.or(sum.swap);
    let network = linux.and_then(|linux| linux.network.as_ref()).and_then(|network| {
        let interface = network.default_interface.as_ref()?;
        Some(Network {
            time: network.timestamp,
            interface: interface.name.clone(),
            received: value(interface.rx_bytes.as_ref()).unwrap_or_default(),
            received_errors: value(interface.rx_errors.as_ref()).unwrap_or_default(),
            sent: value(interface.tx_bytes.as_ref()).unwrap_or_default(),
            sent_errors: value(interface.tx_errors.as_ref()).unwrap_or_default(),
        })
    });
    Pod {
        namespace: at(pod, "/metadata/namespace").to_owned(),
        name: at(pod, "/metadata/name").to_owned(),
        uid: uid.to_owned(),
        started: at(pod, "/status/startTime").to_owned(),
        usage,
        network,
        volumes: Vec::new(),
        processes: linux.and_then(|linux| value(linux.process.as_ref()?.process_count.as_ref())),
        containers,
    }
}

fn container(pod: &Value, stats: &ContainerStats, samples: &Samples) -> Option<Container> {
    let attributes = stats.attributes.as_ref()?;
    let labelled = attributes.labels.get(CONTAINER_NAME).cloned();
    let name = labelled.or_else(|| attributes.metadata.as_ref().map(|meta| meta.name.clone()))?;
    Some(Container {
        started: started(pod, &name),
        usage: usage(
            (&attributes.id, stats.cpu.as_ref(), stats.memory.as_ref()),
            stats.swap.as_ref(),
            samples,
        ),
        root: stats.writable_layer.as_ref().map(|layer| Disk {
            used: value(layer.used_bytes.as_ref()).unwrap_or_default(),
            inodes: value(layer.inodes_used.as_ref()).unwrap_or_default(),
        }),
        logs: None,
        id: attributes.id.clone(),
        name,
    })
}

/// When a container began, as the pod's status says it.
fn started(pod: &Value, name: &str) -> String {
    let lists =
        ["/status/containerStatuses", "/status/initContainerStatuses", "/status/ephemeralContainerStatuses"];
    let mut all = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    let found = all.find(|status| at(status, "/name") == name);
    found.map_or_else(String::new, |status| at(status, "/state/running/startedAt").to_owned())
}

fn usage(
    (id, cpu, memory): (&str, Option<&CpuUsage>, Option<&MemoryUsage>),
    swap: Option<&SwapUsage>,
    samples: &Samples,
) -> Usage {
    let cpu = cpu.and_then(|cpu| {
        let cumulative = value(cpu.usage_core_nano_seconds.as_ref())?;
        let told = value(cpu.usage_nano_cores.as_ref()).filter(|rate| *rate > 0);
        let rate = told.or_else(|| samples.rate(id, cpu.timestamp, cumulative));
        Some(Cpu { time: cpu.timestamp, cumulative, rate })
    });
    let memory = memory.and_then(|memory| {
        Some(Memory {
            time: memory.timestamp,
            working_set: value(memory.working_set_bytes.as_ref())?,
            usage: value(memory.usage_bytes.as_ref()),
            rss: value(memory.rss_bytes.as_ref()),
            available: value(memory.available_bytes.as_ref()).filter(|bytes| *bytes > 0),
            page_faults: value(memory.page_faults.as_ref()),
            major_page_faults: value(memory.major_page_faults.as_ref()),
        })
    });
    Usage { cpu, memory, swap: swap.and_then(|swap| value(swap.swap_usage_bytes.as_ref())) }
}

fn value(value: Option<&UInt64Value>) -> Option<u64> {
    value.map(|value| value.value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rpc::cri::PodSandboxMetadata;
    use rpc::cri::{ContainerAttributes, ContainerMetadata, LinuxPodSandboxStats, PodSandboxAttributes};
    use serde_json::json;

    use super::*;

    fn number(value: u64) -> Option<UInt64Value> {
        Some(UInt64Value { value })
    }

    fn cpu(cumulative: u64) -> Option<CpuUsage> {
        Some(CpuUsage { timestamp: 5, usage_core_nano_seconds: number(cumulative), ..CpuUsage::default() })
    }

    fn stats(name: &str, uid: &str, cumulative: u64) -> ContainerStats {
        let labels = [(POD_UID.to_owned(), uid.to_owned()), (CONTAINER_NAME.to_owned(), name.to_owned())];
        let metadata = Some(ContainerMetadata { name: name.to_owned(), attempt: 0 });
        let attributes = ContainerAttributes {
            id: format!("{name}-{uid}"),
            metadata,
            labels: labels.into(),
            ..Default::default()
        };
        ContainerStats { attributes: Some(attributes), cpu: cpu(cumulative), ..ContainerStats::default() }
    }

    #[test]
    fn figures_come_to_their_pods() {
        let pod = |uid: &str| {
            Arc::new(json!({
                "metadata": {"name": "p", "namespace": "n", "uid": uid},
                "status": {"containerStatuses": [{"name": "a", "state": {"running": {"startedAt": "then"}}}]},
            }))
        };
        let metadata = PodSandboxMetadata { uid: "2".to_owned(), ..PodSandboxMetadata::default() };
        let sandbox = PodSandboxStats {
            attributes: Some(PodSandboxAttributes { metadata: Some(metadata), ..Default::default() }),
            linux: Some(LinuxPodSandboxStats { cpu: cpu(50), ..LinuxPodSandboxStats::default() }),
        };
        let containers = [stats("a", "1", 3), stats("b", "1", 4), stats("a", "2", 7), stats("x", "9", 1)];
        let pods = [pod("1"), pod("2"), pod("3")];
        let figures = join(&pods, &containers, &[sandbox], &Samples::default());
        let seen: Vec<_> = figures
            .pods
            .iter()
            .map(|pod| (pod.uid.as_str(), pod.containers.len(), pod.usage.cpu.map(|cpu| cpu.cumulative)))
            .collect();
        assert_eq!(seen, [("1", 2, Some(7)), ("2", 1, Some(50))]);
        assert_eq!(figures.pods[0].containers[0].started, "then");
    }
}
