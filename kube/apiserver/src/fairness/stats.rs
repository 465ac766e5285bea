//! What `/metrics` tells of priority and fairness, under upstream's names.

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use flow_control::Nanos;
use flow_control::queue_set::Refusal;

use super::Fairness;

/// Counts of a flow schema at its level.
#[derive(Debug, Default)]
pub(super) struct FlowStats {
    dispatched: AtomicU64,
    /// In the order of [`REFUSALS`].
    refused: [AtomicU64; 3],
    executing: [AtomicI64; 2],
    waiting: [AtomicI64; 2],
    /// Of those that were not executed, and of those that were.
    waits: [Histogram; 2],
    /// Of ordinary requests, and of watches.
    runs: [Histogram; 2],
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

impl FlowStats {
    /// A request has waited, and was executed or not.
    pub(super) fn waited(&self, executed: bool, nanos: Nanos) {
        self.waits[usize::from(executed)].observe(nanos);
    }

    pub(super) fn refused(&self, why: Refusal) {
        let at = REFUSALS.iter().position(|other| *other == why).unwrap_or_default();
        self.refused[at].fetch_add(1, Ordering::Relaxed);
    }

    /// So many more requests wait, for so many more seats.
    pub(super) fn waiting(&self, requests: i64, seats: i64) {
        change(&self.waiting, requests, seats);
    }

    pub(super) fn begun(&self, seats: usize) {
        self.dispatched.fetch_add(1, Ordering::Relaxed);
        change(&self.executing, 1, seats as i64);
    }

    pub(super) fn ended(&self, seats: usize, nanos: Nanos, watch: bool) {
        change(&self.executing, -1, -(seats as i64));
        self.runs[usize::from(watch)].observe(nanos);
    }
}

fn change(counts: &[AtomicI64; 2], requests: i64, seats: i64) {
    counts[0].fetch_add(requests, Ordering::Relaxed);
    counts[1].fetch_add(seats, Ordering::Relaxed);
}

impl Histogram {
    fn observe(&self, nanos: Nanos) {
        let seconds = nanos as f64 / 1e9;
        // Only the first bucket that holds it: they are added up when somebody looks.
        if let Some(bucket) = self.buckets.get(BUCKETS.partition_point(|limit| *limit < seconds)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let count = self.count.load(Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let mut sum = 0;
        for (limit, bucket) in BUCKETS.iter().zip(&self.buckets) {
            sum += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{limit}\"}} {sum}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let seconds = self.nanos.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}");
    }
}

impl Fairness {
    /// All of it as text.
    pub(crate) fn metrics(&self) -> String {
        let mut out = String::new();
        self.write_levels(&mut out);
        self.write_flows(&mut out);
        self.write_times(&mut out);
        out
    }

    fn write_levels(&self, out: &mut String) {
        let active = self.active();
        let (division, reports) = active.division.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let levels = || active.levels.iter().enumerate();
        let mut gauge = |name: &str, help: &str, value: &dyn Fn(usize) -> f64| {
            head(out, name, "gauge", help);
            for (at, level) in levels() {
                let name_of = &level.config.name;
                let _ = writeln!(out, "{PREFIX}{name}{{priority_level=\"{name_of}\"}} {}", value(at));
            }
        };
        let seats = |at: usize| active.levels[at].seats;
        let report = |at: usize| reports.get(at).copied().unwrap_or_default();
        gauge("nominal_limit_seats", "Seats of each level by its configuration.", &|at| {
            seats(at).nominal as f64
        });
        gauge("lower_limit_seats", "Seats that no other level can borrow.", &|at| seats(at).least as f64);
        gauge("upper_limit_seats", "Seats with all that can be borrowed.", &|at| seats(at).most as f64);
        gauge("current_limit_seats", "Seats that the level may use now.", &|at| {
            division.seats.get(at).copied().unwrap_or_default() as f64
        });
        gauge("target_seats", "Seats that the level was to have.", &|at| {
            division.targets.get(at).copied().unwrap_or_default()
        });
        gauge("demand_seats_high_watermark", "The most seats needed in the last period.", &|at| {
            report(at).high as f64
        });
        gauge("demand_seats_average", "Seats needed on average in the last period.", &|at| {
            report(at).average
        });
        gauge("demand_seats_stdev", "The standard deviation of the seats needed.", &|at| {
            report(at).deviation
        });
        gauge("demand_seats_smoothed", "Seats needed, smoothed.", &|at| report(at).smoothed);
        head(out, "seat_fair_frac", "gauge", "The part of its target that each level has.");
        let _ = writeln!(out, "{PREFIX}seat_fair_frac {}", division.fair_part);
    }

    fn write_flows(&self, out: &mut String) {
        type Read = fn(&FlowStats) -> i64;
        const GAUGES: [(&str, &str, Read); 4] = [
            ("current_inqueue_requests", "Requests that wait in queues.", |it| read(&it.waiting[0])),
            ("current_inqueue_seats", "Seats that requests wait for.", |it| read(&it.waiting[1])),
            ("current_executing_requests", "Requests being answered.", |it| read(&it.executing[0])),
            ("current_executing_seats", "Seats of requests being answered.", |it| read(&it.executing[1])),
        ];
        let active = self.active();
        for (name, help, value) in GAUGES {
            head(out, name, "gauge", help);
            for flow in &active.flows {
                let _ = writeln!(out, "{PREFIX}{name}{{{}}} {}", labels(flow), value(&flow.stats));
            }
        }
        head(out, "dispatched_requests_total", "counter", "Requests that were executed.");
        for flow in &active.flows {
            let count = flow.stats.dispatched.load(Ordering::Relaxed);
            let _ = writeln!(out, "{PREFIX}dispatched_requests_total{{{}}} {count}", labels(flow));
        }
        head(out, "rejected_requests_total", "counter", "Requests that were refused with 429.");
        for flow in &active.flows {
            for (why, count) in REFUSALS.iter().zip(&flow.stats.refused) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let (labels, why) = (labels(flow), why.as_str());
                    let _ =
                        writeln!(out, "{PREFIX}rejected_requests_total{{{labels},reason=\"{why}\"}} {count}");
                }
            }
        }
    }

    fn write_times(&self, out: &mut String) {
        let active = self.active();
        let name = "request_wait_duration_seconds";
        head(out, name, "histogram", "How long requests waited in their queues.");
        for flow in &active.flows {
            for (executed, histogram) in ["false", "true"].iter().zip(&flow.stats.waits) {
                let labels = format!("execute=\"{executed}\",{}", labels(flow));
                histogram.write(out, &format!("{PREFIX}{name}"), &labels);
            }
        }
        let name = "request_execution_seconds";
        head(out, name, "histogram", "How long requests had their seats; watches, until they stood.");
        for flow in &active.flows {
            for (kind, histogram) in ["regular", "watch"].iter().zip(&flow.stats.runs) {
                let labels = format!("{},type=\"{kind}\"", labels(flow));
                histogram.write(out, &format!("{PREFIX}{name}"), &labels);
            }
        }
    }
}

fn labels(flow: &super::Flow) -> String {
    format!("flow_schema=\"{}\",priority_level=\"{}\"", flow.schema.name, flow.level.name)
}

fn read(value: &AtomicI64) -> i64 {
    value.load(Ordering::Relaxed)
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

const PREFIX: &str = "apiserver_flowcontrol_";
const REFUSALS: [Refusal; 3] = [Refusal::ConcurrencyLimit, Refusal::QueueFull, Refusal::TimeOut];
/// Upper limits of the buckets of durations, in seconds: upstream's.
const BUCKETS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_buckets_up() {
        let histogram = Histogram::default();
        for millis in [0, 3, 5, 700, 60_000] {
            histogram.observe(millis * 1_000_000);
        }
        let mut out = String::new();
        histogram.write(&mut out, "h", "a=\"b\"");
        for line in [
            "h_bucket{a=\"b\",le=\"0\"} 1",
            "h_bucket{a=\"b\",le=\"0.005\"} 3",
            "h_bucket{a=\"b\",le=\"0.5\"} 3",
            "h_bucket{a=\"b\",le=\"1\"} 4",
            "h_bucket{a=\"b\",le=\"30\"} 4",
            "h_bucket{a=\"b\",le=\"+Inf\"} 5",
            "h_count{a=\"b\"} 5",
        ] {
            assert!(out.contains(line), "{line}\n{out}");
        }
    }
}
