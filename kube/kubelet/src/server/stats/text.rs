//! Figures in the text format of Prometheus.

use std::fmt::Write as _;

use jiff::Timestamp;
use rpc::cri::{Container, ContainerState};

use super::figures::{Figures, Host, Usage};

/// A metric's lines.
struct Family {
    out: String,
}

impl Family {
    fn new(name: &str, kind: &str, help: &str) -> Self {
        Self { out: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n") }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &str, time: Option<i64>) {
        self.out.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            // Writing into a string cannot fail.
            let _ = write!(self.out, "{before}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = write!(self.out, " {value}");
        if let Some(time) = time {
            let _ = write!(self.out, " {}", time / 1_000_000);
        }
        self.out.push('\n');
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Seconds of nanoseconds, exactly.
fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

const CPU: (&str, &str, &str) =
    ("cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the");
const MEMORY: (&str, &str, &str) =
    ("memory_working_set_bytes", "gauge", "[STABLE] Current working set of the");
const SWAP: (&str, &str, &str) = ("swap_usage_bytes", "gauge", "[ALPHA] Current amount of swap used by the");

/// One figure of a usage: its text and time.
type Pick = fn(&Usage) -> Option<(String, i64)>;

fn cpu(usage: &Usage) -> Option<(String, i64)> {
    usage.cpu.map(|cpu| (seconds(cpu.cumulative), cpu.time))
}

fn memory(usage: &Usage) -> Option<(String, i64)> {
    usage.memory.map(|memory| (memory.working_set.to_string(), memory.time))
}

fn swap(usage: &Usage) -> Option<(String, i64)> {
    usage.swap.map(|swap| (swap.to_string(), usage.memory.map_or(0, |memory| memory.time)))
}

/// `/metrics/resource`.
pub(super) fn resource(figures: &Figures, host: &Host, failed: bool) -> String {
    let mut out = String::new();
    let kinds: [((&str, &str, &str), Pick); 3] = [(CPU, cpu), (MEMORY, memory), (SWAP, swap)];
    for ((suffix, kind, help), pick) in kinds {
        let unit = match suffix {
            "cpu_usage_seconds_total" => "in core-seconds",
            "memory_working_set_bytes" => "in bytes",
            _ => "in bytes. Reported only on non-windows systems",
        };
        let name = format!("container_{suffix}");
        let mut family = Family::new(&name, kind, &format!("{help} container {unit}"));
        for pod in &figures.pods {
            for found in &pod.containers {
                let labels =
                    [("container", found.name.as_str()), ("namespace", &pod.namespace), ("pod", &pod.name)];
                if let Some((value, time)) = pick(&found.usage) {
                    family.line(&name, &labels, &value, Some(time));
                }
            }
        }
        out.push_str(&family.out);
        let name = format!("node_{suffix}");
        let mut family = Family::new(&name, kind, &format!("{help} node {unit}"));
        if let Some((value, time)) = pick(&host.usage) {
            family.line(&name, &[], &value, Some(time));
        }
        out.push_str(&family.out);
        let name = format!("pod_{suffix}");
        let mut family = Family::new(&name, kind, &format!("{help} pod {unit}"));
        for pod in &figures.pods {
            if let Some((value, time)) = pick(&pod.usage) {
                family.line(&name, &[("namespace", &pod.namespace), ("pod", &pod.name)], &value, Some(time));
            }
        }
        out.push_str(&family.out);
    }
    out.push_str(&starts(figures));
    let help = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise";
    for name in ["resource_scrape_error", "scrape_error"] {
        let mut family = Family::new(name, "gauge", help);
        family.line(name, &[], if failed { "1" } else { "0" }, None);
        out.push_str(&family.out);
    }
    out
}

fn starts(figures: &Figures) -> String {
    let name = "container_start_time_seconds";
    let mut family =
        Family::new(name, "gauge", "[STABLE] Start time of the container since unix epoch in seconds");
    for pod in &figures.pods {
        for found in &pod.containers {
            let Ok(time) = found.started.parse::<Timestamp>() else { continue };
            let labels =
                [("container", found.name.as_str()), ("namespace", &pod.namespace), ("pod", &pod.name)];
            family.line(name, &labels, &time.as_second().to_string(), None);
        }
    }
    family.out
}

/// `/metrics/cadvisor`: what dashboards ask for most, of containers.
pub(super) fn cadvisor(figures: &Figures) -> String {
    let mut out = String::new();
    type Value = fn(&Usage) -> Option<String>;
    let kinds: [(&str, &str, &str, Value); 4] = [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed in seconds.",
            |usage| usage.cpu.map(|cpu| seconds(cpu.cumulative)),
        ),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |usage| {
            usage.memory.map(|memory| memory.working_set.to_string())
        }),
        ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes.", |usage| {
            usage.memory?.usage.map(|bytes| bytes.to_string())
        }),
        ("container_memory_rss", "gauge", "Size of RSS in bytes.", |usage| {
            usage.memory?.rss.map(|bytes| bytes.to_string())
        }),
    ];
    for (name, kind, help, pick) in kinds {
        let mut family = Family::new(name, kind, help);
        for pod in &figures.pods {
            for found in &pod.containers {
                let Some(value) = pick(&found.usage) else { continue };
                let labels = [
                    ("container", found.name.as_str()),
                    ("id", &found.id),
                    ("namespace", &pod.namespace),
                    ("pod", &pod.name),
                ];
                family.line(name, &labels, &value, None);
            }
        }
        out.push_str(&family.out);
    }
    for (name, help, pick) in [
        (
            "container_network_receive_bytes_total",
            "Cumulative count of bytes received",
            (|network| network.received) as fn(&super::figures::Network) -> u64,
        ),
        ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |network| {
            network.sent
        }),
    ] {
        let mut family = Family::new(name, "counter", help);
        for pod in &figures.pods {
            let Some(network) = &pod.network else { continue };
            let labels = [
                ("interface", network.interface.as_str()),
                ("namespace", &pod.namespace),
                ("pod", &pod.name),
            ];
            family.line(name, &labels, &pick(network).to_string(), None);
        }
        out.push_str(&family.out);
    }
    out
}

/// `/metrics`: the kubelet's own.
pub(super) fn kubelet(node: &str, pods: usize, containers: &[Container], requests: u64) -> String {
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: String| {
        let mut family = Family::new(name, kind, help);
        family.line(name, labels, &value, None);
        out.push_str(&family.out);
    };
    one(
        "kubelet_node_name",
        "gauge",
        "[ALPHA] The node's name. The count is always 1.",
        &[("node", node)],
        "1".to_owned(),
    );
    one(
        "kubelet_running_pods",
        "gauge",
        "[ALPHA] Number of pods that have a running pod sandbox",
        &[],
        pods.to_string(),
    );
    one(
        "kubelet_http_requests_total",
        "counter",
        "[ALPHA] Number of the http requests received since the server started",
        &[],
        requests.to_string(),
    );
    let name = "kubelet_running_containers";
    let mut family = Family::new(name, "gauge", "[ALPHA] Number of containers currently running");
    for (state, label) in [
        (ContainerState::ContainerCreated, "created"),
        (ContainerState::ContainerExited, "exited"),
        (ContainerState::ContainerRunning, "running"),
        (ContainerState::ContainerUnknown, "unknown"),
    ] {
        let count = containers.iter().filter(|found| found.state == state as i32).count();
        if count > 0 {
            family.line(name, &[("container_state", label)], &count.to_string(), None);
        }
    }
    out.push_str(&family.out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Container as Measured, Cpu, Memory, Pod};
    use super::*;

    #[test]
    fn writes_the_text_format() {
        let usage = Usage {
            cpu: Some(Cpu { time: 5_000_000_000, cumulative: 1_500_000_000, rate: None }),
            memory: Some(Memory { time: 5_000_000_000, working_set: 42, ..Memory::default() }),
            swap: None,
        };
        let started = "1970-01-01T00:00:09Z".to_owned();
        let one = Measured { name: "c\"".to_owned(), usage, started, ..Measured::default() };
        let pod = Pod {
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            usage,
            containers: vec![one],
            ..Pod::default()
        };
        let host = Host { usage, ..Host::default() };
        let text = resource(&Figures { pods: vec![pod] }, &host, false);
        for line in [
            "container_cpu_usage_seconds_total{container=\"c\\\"\",namespace=\"n\",pod=\"p\"} 1.500000000 5000",
            "# TYPE container_cpu_usage_seconds_total counter",
            "node_memory_working_set_bytes 42 5000",
            "pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 1.500000000 5000",
            "container_start_time_seconds{container=\"c\\\"\",namespace=\"n\",pod=\"p\"} 9",
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
