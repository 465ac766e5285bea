//! The same figures as metrics, named as the node's own exporter names them.

use rpc::cri::*;

use super::of_sandboxes;
use crate::runtime::Inner;

/// A figure: its name, what it says, whether it only grows, and where it is found.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

const CPU: Figure = Figure {
    name: "container_cpu_usage_nanoseconds_total",
    help: "Cumulative cpu time consumed in nanoseconds.",
    kind: MetricType::Counter,
};
const USAGE: Figure = Figure {
    name: "container_memory_usage_bytes",
    help: "Current memory usage in bytes, including all memory regardless of when it was accessed.",
    kind: MetricType::Gauge,
};
const WORKING_SET: Figure = Figure {
    name: "container_memory_working_set_bytes",
    help: "Current working set in bytes.",
    kind: MetricType::Gauge,
};
const RSS: Figure =
    Figure { name: "container_memory_rss", help: "Size of RSS in bytes.", kind: MetricType::Gauge };
const RECEIVED: Figure = Figure {
    name: "container_network_receive_bytes_total",
    help: "Cumulative count of bytes received.",
    kind: MetricType::Counter,
};
const SENT: Figure = Figure {
    name: "container_network_transmit_bytes_total",
    help: "Cumulative count of bytes transmitted.",
    kind: MetricType::Counter,
};
const PROCESSES: Figure = Figure {
    name: "container_processes",
    help: "Number of processes running inside the container.",
    kind: MetricType::Gauge,
};

/// What the metrics are called.
pub(crate) fn metric_descriptors() -> Vec<MetricDescriptor> {
    let of_containers = [CPU, USAGE, WORKING_SET, RSS, PROCESSES].map(|figure| (figure, Vec::new()));
    let of_links = [RECEIVED, SENT].map(|figure| (figure, vec!["interface".to_owned()]));
    of_containers
        .into_iter()
        .chain(of_links)
        .map(|(figure, label_keys)| MetricDescriptor {
            name: figure.name.to_owned(),
            help: figure.help.to_owned(),
            label_keys,
        })
        .collect()
}

/// The metrics of all sandboxes that run.
pub(crate) fn metrics(inner: &Inner) -> Result<Vec<PodSandboxMetrics>, Status> {
    let sandboxes = of_sandboxes(inner, None)?;
    Ok(sandboxes.into_iter().map(of_sandbox).collect())
}

fn of_sandbox(stats: PodSandboxStats) -> PodSandboxMetrics {
    let id = stats.attributes.map(|attributes| attributes.id).unwrap_or_default();
    let linux = stats.linux.unwrap_or_default();
    let mut metrics = used(linux.cpu.as_ref(), linux.memory.as_ref());
    if let Some(process) = &linux.process {
        metrics.extend(metric(&PROCESSES, process.timestamp, process.process_count, vec![]));
    }
    if let Some(network) = &linux.network {
        for link in network.default_interface.iter().chain(&network.interfaces) {
            let label = || vec![link.name.clone()];
            metrics.extend(metric(&RECEIVED, network.timestamp, link.rx_bytes, label()));
            metrics.extend(metric(&SENT, network.timestamp, link.tx_bytes, label()));
        }
    }
    let container_metrics = linux.containers.into_iter().map(of_container).collect();
    PodSandboxMetrics { pod_sandbox_id: id, metrics, container_metrics }
}

fn of_container(stats: ContainerStats) -> ContainerMetrics {
    let metrics = used(stats.cpu.as_ref(), stats.memory.as_ref());
    let container_id = stats.attributes.map(|attributes| attributes.id).unwrap_or_default();
    ContainerMetrics { container_id, metrics }
}

fn used(cpu: Option<&CpuUsage>, memory: Option<&MemoryUsage>) -> Vec<Metric> {
    let mut metrics = Vec::new();
    if let Some(cpu) = cpu {
        metrics.extend(metric(&CPU, cpu.timestamp, cpu.usage_core_nano_seconds, vec![]));
    }
    if let Some(memory) = memory {
        for (figure, value) in
            [(&USAGE, memory.usage_bytes), (&WORKING_SET, memory.working_set_bytes), (&RSS, memory.rss_bytes)]
        {
            metrics.extend(metric(figure, memory.timestamp, value, vec![]));
        }
    }
    metrics
}

/// One metric; none when the kernel does not tell it.
fn metric(
    figure: &Figure,
    timestamp: i64,
    value: Option<UInt64Value>,
    label_values: Vec<String>,
) -> Option<Metric> {
    let value = Some(value?);
    let (name, metric_type) = (figure.name.to_owned(), figure.kind.into());
    Some(Metric { name, timestamp, metric_type, label_values, value })
}
