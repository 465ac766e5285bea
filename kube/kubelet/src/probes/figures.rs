//! How often probes were asked, what they said, and how long that took: `/metrics/probes`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Whom a probe asks, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    /// `Liveness`, `Readiness` or `Startup`.
    pub(crate) kind: &'static str,
}

/// Answers of one probe.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    good: u64,
    bad: u64,
    /// How many took no longer than the bound of the same place in [`BOUNDS`].
    within: [u64; BOUNDS.len()],
    seconds: f64,
}

/// The figures of all probes of this node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probed {
    all: Arc<Mutex<BTreeMap<Subject, Answers>>>,
}

impl Probed {
    /// Counts an answer.
    pub(crate) fn count(&self, subject: &Subject, good: bool, took: Duration) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(subject) {
            all.insert(subject.clone(), Answers::default());
        }
        let Some(answers) = all.get_mut(subject) else { return };
        answers.good += u64::from(good);
        answers.bad += u64::from(!good);
        let seconds = took.as_secs_f64();
        answers.seconds += seconds;
        for (count, bound) in answers.within.iter_mut().zip(BOUNDS) {
            *count += u64::from(seconds <= bound);
        }
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).retain(|subject, _| subject.uid != uid);
    }

    /// All of it in the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        if all.is_empty() {
            return out;
        }
        // Writing into a string cannot fail.
        let name = "prober_probe_duration_seconds";
        let _ = writeln!(
            out,
            "# HELP {name} [ALPHA] Duration in seconds for a probe response.\n# TYPE {name} histogram"
        );
        for (subject, answers) in all.iter() {
            let Subject { namespace, pod, container, kind, .. } = subject;
            let labels = format!(
                "container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\",probe_type=\"{kind}\""
            );
            for (count, bound) in answers.within.iter().zip(BOUNDS) {
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let count = answers.good + answers.bad;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", answers.seconds);
            let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
        }
        let name = "prober_probe_total";
        let help =
            "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for (subject, answers) in all.iter() {
            let Subject { uid, namespace, pod, container, kind } = subject;
            for (result, count) in [("failed", answers.bad), ("successful", answers.good)] {
                if count > 0 {
                    let _ = writeln!(
                        out,
                        "{name}{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\",pod_uid=\"{uid}\",probe_type=\"{kind}\",result=\"{result}\"}} {count}"
                    );
                }
            }
        }
        out
    }
}

/// The usual bounds of a histogram of seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_answers_until_the_pod_is_gone() {
        let probed = Probed::default();
        assert_eq!(probed.text(), "");
        let subject = Subject {
            uid: "u".to_owned(),
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            container: "c".to_owned(),
            kind: "Liveness",
        };
        probed.count(&subject, true, Duration::from_millis(20));
        probed.count(&subject, true, Duration::from_secs(20));
        probed.count(&subject, false, Duration::from_secs(2));
        let text = probed.text();
        let labels = "container=\"c\",namespace=\"n\",pod=\"p\",probe_type=\"Liveness\"";
        for line in [
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"0.01\"}} 0"),
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"0.025\"}} 1"),
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"2.5\"}} 2"),
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            "prober_probe_total{container=\"c\",namespace=\"n\",pod=\"p\",pod_uid=\"u\",probe_type=\"Liveness\",result=\"successful\"} 2".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        probed.forget("u");
        assert_eq!(probed.text(), "");
    }
}
