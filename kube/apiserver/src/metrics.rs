//! What `/metrics` tells, under upstream's names, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::http::path::RequestInfo;

mod process;

/// Counts of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, RequestCount>>,
    long_running: Mutex<BTreeMap<Subject, Arc<AtomicI64>>>,
    in_flight_mutating: AtomicI64,
    in_flight_read_only: AtomicI64,
    dropped_mutating: AtomicU64,
    dropped_read_only: AtomicU64,
    terminated: Mutex<BTreeMap<RequestLabels, u64>>,
    panics: AtomicU64,
}

/// What a request is counted under, but for its answer's code.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    dry_run: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RequestLabels {
    subject: Subject,
    code: u16,
}

#[derive(Clone, Debug, Default)]
struct RequestCount {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// Which of the two in-flight limits a request falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// It may write.
    Mutating,
    /// It only reads.
    ReadOnly,
}

/// Counts down when it is dropped.
#[derive(Debug)]
pub struct Gauge(Arc<AtomicI64>);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A resource and how many objects it has.
pub type ObjectCount = (String, u64);

impl Subject {
    /// Of a request that is about something known: what is not would let strangers make labels.
    pub fn of(info: &RequestInfo, known: bool, dry_run: bool, apply: bool) -> Self {
        let verb = match info.verb.as_str() {
            "patch" if apply => "APPLY",
            verb => verb_label(verb, &info.subresource),
        };
        if !info.is_resource || !known {
            return Self { verb, ..Self::default() };
        }
        let scope = match (info.name.is_empty(), info.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        Self {
            verb,
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            scope,
            dry_run: if dry_run { "All" } else { "" },
        }
    }

    fn write(&self, out: &mut String) {
        self.write_labels(Some(self.dry_run), out);
    }

    /// All labels but whether it was a dry run.
    fn write_place(&self, out: &mut String) {
        self.write_labels(None, out);
    }

    fn write_labels(&self, dry_run: Option<&str>, out: &mut String) {
        let Self { verb, group, version, resource, subresource, scope, dry_run: _ } = self;
        out.push_str("component=\"apiserver\",");
        if let Some(dry_run) = dry_run {
            let _ = write!(out, "dry_run=\"{dry_run}\",");
        }
        let _ = write!(
            out,
            "group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",\
             verb=\"{verb}\",version=\"{version}\""
        );
    }
}

fn verb_label(verb: &str, subresource: &str) -> &'static str {
    if matches!(subresource, "exec" | "attach" | "portforward" | "proxy" | "log") {
        return "CONNECT";
    }
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

impl Metrics {
    /// Counts a finished request.
    pub fn request(&self, subject: Subject, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(RequestLabels { subject, code }).or_default();
        count.count += 1;
        count.seconds += took.as_secs_f64();
        for (bucket, limit) in count.buckets.iter_mut().zip(BUCKETS) {
            if took.as_secs_f64() <= limit {
                *bucket += 1;
            }
        }
    }

    /// Counts a long-running request while the gauge lives.
    pub fn long_running(&self, subject: Subject) -> Gauge {
        let mut gauges = self.long_running.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = gauges.entry(subject).or_default();
        gauge.fetch_add(1, Ordering::Relaxed);
        Gauge(Arc::clone(gauge))
    }

    /// Says how many requests are being answered.
    pub fn in_flight(&self, kind: InFlight, change: i64) {
        let gauge = match kind {
            InFlight::Mutating => &self.in_flight_mutating,
            InFlight::ReadOnly => &self.in_flight_read_only,
        };
        gauge.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts a request that was refused because there were too many.
    pub fn dropped(&self, kind: InFlight) {
        let counter = match kind {
            InFlight::Mutating => &self.dropped_mutating,
            InFlight::ReadOnly => &self.dropped_read_only,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that got no place or no answer in time.
    pub fn terminated(&self, subject: Subject, code: u16) {
        let mut terminated = self.terminated.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = Subject { dry_run: "", ..subject };
        *terminated.entry(RequestLabels { subject, code }).or_default() += 1;
    }

    /// Counts a handler that panicked.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it as text; `objects` are counted at the time.
    pub fn text(&self, objects: &[ObjectCount], revision: u64) -> String {
        let mut out = String::new();
        self.write_requests(&mut out);
        self.write_gauges(&mut out);
        head(&mut out, "apiserver_storage_objects", "gauge", "Number of stored objects by resource.");
        for (resource, count) in objects {
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{resource}\"}} {count}");
        }
        head(&mut out, "apiserver_storage_revision", "gauge", "Newest revision of the store.");
        let _ = writeln!(out, "apiserver_storage_revision {revision}");
        process::write(&mut out);
        out
    }

    fn write_requests(&self, out: &mut String) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        head(out, "apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.");
        for (labels, count) in &requests {
            let _ = write!(out, "apiserver_request_total{{code=\"{}\",", labels.code);
            labels.subject.write(out);
            let _ = writeln!(out, "}} {}", count.count);
        }
        let mut merged: BTreeMap<&Subject, RequestCount> = BTreeMap::new();
        for (labels, count) in requests.iter().filter(|(labels, _)| labels.subject.verb != "WATCH") {
            let all = merged.entry(&labels.subject).or_default();
            all.count += count.count;
            all.seconds += count.seconds;
            for (sum, part) in all.buckets.iter_mut().zip(count.buckets) {
                *sum += part;
            }
        }
        const NAME: &str = "apiserver_request_duration_seconds";
        head(out, NAME, "histogram", "How long requests took, without watches.");
        for (subject, count) in merged {
            let mut labels = String::new();
            subject.write(&mut labels);
            for (limit, bucket) in BUCKETS.iter().zip(count.buckets) {
                let _ = writeln!(out, "{NAME}_bucket{{{labels},le=\"{limit}\"}} {bucket}");
            }
            let _ = writeln!(out, "{NAME}_bucket{{{labels},le=\"+Inf\"}} {}", count.count);
            let _ = writeln!(out, "{NAME}_sum{{{labels}}} {}", count.seconds);
            let _ = writeln!(out, "{NAME}_count{{{labels}}} {}", count.count);
        }
    }

    fn write_gauges(&self, out: &mut String) {
        let number = |value: &AtomicI64| value.load(Ordering::Relaxed);
        head(out, "apiserver_current_inflight_requests", "gauge", "Requests being answered.");
        for (kind, value) in
            [("mutating", number(&self.in_flight_mutating)), ("readOnly", number(&self.in_flight_read_only))]
        {
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {value}");
        }
        head(out, "apiserver_dropped_requests_total", "counter", "Requests refused with 429.");
        for (kind, value) in [("mutating", &self.dropped_mutating), ("readOnly", &self.dropped_read_only)] {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(out, "apiserver_dropped_requests_total{{request_kind=\"{kind}\"}} {value}");
        }
        let terminated = self.terminated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        const TERMINATED: &str = "apiserver_request_terminations_total";
        head(out, TERMINATED, "counter", "Requests that got no place or no answer in time.");
        for (labels, count) in terminated {
            let _ = write!(out, "{TERMINATED}{{code=\"{}\",", labels.code);
            labels.subject.write_place(out);
            let _ = writeln!(out, "}} {count}");
        }
        head(out, "apiserver_request_panics_total", "counter", "Handlers that panicked.");
        let _ = writeln!(out, "apiserver_request_panics_total {}", self.panics.load(Ordering::Relaxed));
        head(out, "apiserver_longrunning_requests", "gauge", "Watches and other requests that stay open.");
        let gauges = self.long_running.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, gauge) in gauges.iter() {
            out.push_str("apiserver_longrunning_requests{");
            subject.write_place(out);
            let _ = writeln!(out, "}} {}", number(gauge));
        }
    }
}

pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Upper limits of the buckets of durations, in seconds: upstream's.
const BUCKETS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0,
];

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn counts() {
        let metrics = Metrics::default();
        let mut info = RequestInfo::parse(&Method::GET, "/api/v1/namespaces/a/pods").unwrap();
        info.refine(false, None);
        let subject = Subject::of(&info, true, false, false);
        metrics.request(subject.clone(), 200, Duration::from_millis(30));
        metrics.request(subject.clone(), 200, Duration::from_millis(1));
        metrics.terminated(subject.clone(), 429);
        let gauge = metrics.long_running(subject);
        let text = metrics.text(&[("pods".to_owned(), 2)], 9);
        for line in [
            "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",\
             resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2",
            "verb=\"LIST\",version=\"v1\",le=\"0.005\"} 1",
            "verb=\"LIST\",version=\"v1\",le=\"0.05\"} 2",
            "verb=\"LIST\",version=\"v1\",le=\"+Inf\"} 2",
            "apiserver_storage_objects{resource=\"pods\"} 2",
            "apiserver_request_terminations_total{code=\"429\",component=\"apiserver\",group=\"\",\
             resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 1",
            "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        drop(gauge);
        assert!(metrics.text(&[], 0).contains("verb=\"LIST\",version=\"v1\"} 0"));
        // Whoever asks for what is not there makes no labels.
        info.resource = "\"}evil".to_owned();
        metrics.request(Subject::of(&info, false, false, false), 404, Duration::ZERO);
        assert!(!metrics.text(&[], 0).contains("evil"));
    }
}
