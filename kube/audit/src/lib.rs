//! The audit log: who asked the API for what, and what became of it.
//!
//! ```text
//! request ──▶ policy   level and stages, by the first rule that fits (pure)
//!               │
//!             trail    what is known of one request, stage by stage
//!               │
//!             event    as a line of JSON or text, shortened if too long (pure)
//!               │ bounded queue
//!             log      one thread: appends, rotates; another compresses and removes
//! ```
//!
//! Nothing here knows HTTP. Without a policy there is no [`Audit`], and nobody asks.

mod event;
mod file;
mod log;
pub mod policy;
mod trail;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use event::{Event, Format, ObjectRef, ResponseStatus, go_duration};
pub use file::FileSettings;
pub use log::{Log, LogError, Mode, Settings, Target, Truncate};
pub use policy::{Asked, Level, Policy, Resource, Stage};
pub use trail::{Request, Trail};

use policy::Decision;

/// A policy and where its events go. Share it.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    log: Log,
    counts: Counts,
}

/// What `/metrics` tells of it.
#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    rejected: AtomicU64,
    levels: [AtomicU64; 4],
}

impl Audit {
    /// Events by `policy` go to `log`.
    pub fn new(policy: Policy, log: Log) -> Arc<Self> {
        Arc::new(Self { policy, log, counts: Counts::default() })
    }

    /// Begins the record of a request, if the policy wants one.
    pub fn begin(self: &Arc<Self>, asked: &Asked<'_>, request: impl FnOnce() -> Request) -> Option<Trail> {
        let decision: Decision = self.policy.decide(asked);
        if let Some(count) = self.counts.levels.get(decision.level as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        (decision.level > Level::None).then(|| Trail::new(Arc::clone(self), decision, asked, request()))
    }

    /// Waits until all that was given to the log is written.
    pub async fn flush(&self) {
        self.log.flush().await;
    }

    /// Counts a request that is refused because its event cannot be kept.
    pub fn rejected(&self) {
        self.counts.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters under upstream's names, in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        let counter = |name: &str, help: &str, lines: &[(String, u64)]| {
            let mut text =
                format!("# HELP apiserver_audit_{name} {help}\n# TYPE apiserver_audit_{name} counter\n");
            for (labels, value) in lines {
                text.push_str(&format!("apiserver_audit_{name}{labels} {value}\n"));
            }
            text
        };
        let plain = |value: &AtomicU64| [(String::new(), value.load(Ordering::Relaxed))];
        let levels = Level::ALL.into_iter().zip(&self.counts.levels);
        let levels: Vec<_> = levels
            .map(|(level, count)| (level, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .map(|(level, count)| (format!("{{level=\"{}\"}}", level.as_str()), count))
            .collect();
        let errors = self.log.errors().into_iter().filter(|(_, count)| *count > 0);
        let errors: Vec<_> =
            errors.map(|(plugin, count)| (format!("{{plugin=\"{plugin}\"}}"), count)).collect();
        [
            counter(
                "event_total",
                "Counter of audit events generated and sent to the audit backend.",
                &plain(&self.counts.events),
            ),
            counter("error_total", "Counter of audit events that failed to be audited properly.", &errors),
            counter("level_total", "Counter of policy levels for audit events (1 per request).", &levels),
            counter(
                "requests_rejected_total",
                "Counter of apiserver requests rejected due to an error in audit logging backend.",
                &plain(&self.counts.rejected),
            ),
        ]
        .concat()
    }
}
