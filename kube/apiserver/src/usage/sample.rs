//! Readings of a kubelet's `/metrics/resource`, and what lies between two of them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// CPU and memory at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Seconds on cores, ever.
    cpu: Option<f64>,
    /// Milliseconds since 1970.
    time: i64,
    memory: Option<u64>,
    /// Seconds since 1970, of containers.
    started: Option<f64>,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    node: Point,
    /// By namespace, pod and container.
    containers: BTreeMap<(String, String), BTreeMap<String, Point>>,
}

/// Two readings of one node.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    pub(super) older: Arc<Sample>,
    pub(super) newer: Arc<Sample>,
}

/// What was used between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) nanocores: u64,
    pub(super) memory: u64,
    /// Milliseconds since 1970.
    pub(super) time: i64,
    /// Milliseconds between the readings.
    pub(super) window: i64,
}

impl Sample {
    /// Reads the text format; lines of other metrics are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut sample = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(line) = Line::parse(line) {
                sample.take(&line);
            }
        }
        sample
    }

    fn take(&mut self, line: &Line<'_>) {
        let point = match line.name {
            "node_cpu_usage_seconds_total" | "node_memory_working_set_bytes" => &mut self.node,
            "container_cpu_usage_seconds_total"
            | "container_memory_working_set_bytes"
            | "container_start_time_seconds" => {
                let label = |name: &str| line.labels.get(name).cloned().unwrap_or_default();
                let pod = self.containers.entry((label("namespace"), label("pod"))).or_default();
                pod.entry(label("container")).or_default()
            }
            _ => return,
        };
        if line.name.ends_with("_cpu_usage_seconds_total") {
            point.cpu = Some(line.value);
            point.time = line.time.unwrap_or_default();
        } else if line.name.ends_with("_working_set_bytes") {
            // Bytes are far below where a double loses whole numbers.
            point.memory = Some(line.value.max(0.0) as u64);
        } else {
            point.started = Some(line.value);
        }
    }
}

impl Readings {
    pub(super) fn node(&self) -> Option<Used> {
        between(&self.older.node, &self.newer.node)
    }

    /// The containers of a pod, by name; none if one of them lacks a figure.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<Vec<(&str, Used)>> {
        let key = (namespace.to_owned(), name.to_owned());
        let (older, newer) = (self.older.containers.get(&key), self.newer.containers.get(&key)?);
        let used = newer.iter().map(|(container, now)| {
            let before = older.and_then(|older| older.get(container));
            Some((
                container.as_str(),
                before.map_or_else(|| since_start(now), |before| between(before, now))?,
            ))
        });
        used.collect()
    }
}

fn between(before: &Point, now: &Point) -> Option<Used> {
    let window = now.time - before.time;
    let (Some(then), Some(cpu)) = (before.cpu, now.cpu) else { return None };
    if before.started != now.started || cpu < then {
        return since_start(now);
    }
    used(cpu - then, window, now)
}

/// Of a container that began between the readings.
fn since_start(now: &Point) -> Option<Used> {
    // Milliseconds of today are far below where a double loses whole numbers.
    let window = now.time - (now.started? * 1000.0) as i64;
    used(now.cpu?, window.max(1000), now)
}

fn used(seconds: f64, window: i64, now: &Point) -> Option<Used> {
    if window <= 0 || now.time == 0 {
        return None;
    }
    let nanocores = (seconds * 1e12 / window as f64).round();
    let nanocores = nanocores.is_finite().then_some(nanocores.max(0.0) as u64)?;
    Some(Used { nanocores, memory: now.memory?, time: now.time, window })
}

/// `name{label="value",…} value time`.
struct Line<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, String>,
    value: f64,
    time: Option<i64>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at_checked(end)?;
        let mut labels = BTreeMap::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = inside.trim_start_matches([',', ' ']);
                if let Some(behind) = inside.strip_prefix('}') {
                    rest = behind;
                    break;
                }
                let (label, behind) = inside.split_once("=\"")?;
                let (value, behind) = quoted(behind)?;
                labels.insert(label, value);
                inside = behind;
            }
        }
        let mut words = rest.split_whitespace();
        let value = words.next()?.parse().ok()?;
        Some(Self { name, labels, value, time: words.next().and_then(|word| word.parse().ok()) })
    }
}

/// A value up to its closing quote, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cpu: f64, time: i64, started: i64) -> String {
        format!(
            "# TYPE x counter\nnode_cpu_usage_seconds_total {cpu} {time}\nnode_memory_working_set_bytes 7e3 {time}\n\
             container_cpu_usage_seconds_total{{container=\"c\",namespace=\"n\",pod=\"p\"}} {cpu} {time}\n\
             container_memory_working_set_bytes{{pod=\"p\",namespace=\"n\",container=\"c\"}} 42 {time}\n\
             container_start_time_seconds{{container=\"c\",namespace=\"n\",pod=\"p\"}} {started}\nother 1\nnonsense\n"
        )
    }

    fn readings(older: &str, newer: &str) -> Readings {
        Readings { older: Arc::new(Sample::parse(older)), newer: Arc::new(Sample::parse(newer)) }
    }

    #[test]
    fn use_is_between_readings() {
        let two = readings(&text(10.0, 100_000, 1), &text(10.5, 102_000, 1));
        let used = Used { nanocores: 250_000_000, memory: 7000, time: 102_000, window: 2000 };
        assert_eq!(two.node(), Some(used));
        assert_eq!(two.pod("n", "p"), Some(vec![("c", Used { memory: 42, ..used })]));
        assert_eq!(two.pod("n", "q"), None);
    }

    #[test]
    fn use_of_new_containers_is_since_their_start() {
        for older in ["", &text(30.0, 100_000, 1)] {
            let two = readings(older, &text(1.0, 102_000, 100));
            let used = Used { nanocores: 500_000_000, memory: 42, time: 102_000, window: 2000 };
            assert_eq!(two.pod("n", "p"), Some(vec![("c", used)]));
        }
        let same = readings(&text(1.0, 100_000, 1), &text(1.0, 100_000, 1));
        assert_eq!((same.node(), same.pod("n", "p")), (None, None));
    }

    #[test]
    fn reads_labels() {
        let line = Line::parse(r#"m{a="x\"y\\z\n",b="{}, "} 1.5 9"#).unwrap();
        assert_eq!((line.name, line.value, line.time), ("m", 1.5, Some(9)));
        assert_eq!((line.labels["a"].as_str(), line.labels["b"].as_str()), ("x\"y\\z\n", "{}, "));
        for text in ["", "m", "m{", "m{a=\"", "m{a=\"x\" 1", "m x"] {
            assert!(Line::parse(text).is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a-z_{}=\", \\\\0-9.\n]{0,200}") {
            Sample::parse(&text);
        }
    }
}
