//! Probes: whether containers have started, live and are ready.
//!
//! Each probe of a running container is a task that sleeps most of the time. What counts, and when,
//! is [`Tally`]'s business, which knows no time.

mod action;
mod figures;
mod grpc;
mod http;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub(crate) use action::hook;
use action::{Answer, probe};
pub(crate) use figures::Probed;
use figures::Subject;

use crate::events::warning;
use crate::kubelet::Shared;
use crate::model::{Health, Life, Role, Wanted};
use crate::pods::State;
use crate::read::{at, from_nanos, number};

/// Which question a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    Startup,
    Readiness,
    Liveness,
}

impl Question {
    const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    fn member(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// Answers in a row, and what they amount to.
#[derive(Clone, Copy, Debug)]
struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    row: u32,
}

impl Tally {
    fn new(spec: &Value) -> Self {
        let read = |name: &str, otherwise: u32| {
            number(spec, &[name])
                .and_then(|it| u32::try_from(it).ok())
                .filter(|it| *it > 0)
                .unwrap_or(otherwise)
        };
        Self {
            success_threshold: read("successThreshold", 1),
            failure_threshold: read("failureThreshold", 3),
            last: None,
            row: 0,
        }
    }

    /// Counts an answer; tells the verdict when the row is long enough.
    fn count(&mut self, good: bool) -> Option<bool> {
        self.row = if self.last == Some(good) { self.row.saturating_add(1) } else { 1 };
        self.last = Some(good);
        let needed = if good { self.success_threshold } else { self.failure_threshold };
        (self.row >= needed).then_some(good)
    }
}

/// What all probes of a pod say, by container id.
type Results = Arc<Mutex<BTreeMap<String, Health>>>;

/// The probes of one pod.
pub(crate) struct Probes {
    wake: Arc<Notify>,
    results: Results,
    tasks: HashMap<(String, Question), AbortHandle>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl Probes {
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { wake, results: Results::default(), tasks: HashMap::new() }
    }

    /// What probes say.
    pub(crate) fn health(&self) -> BTreeMap<String, Health> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was known of a container before this kubelet ran.
    pub(crate) fn seed(&self, id: &str, health: Health) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.entry(id.to_owned()).or_insert(health);
    }

    /// Begins the probes of containers that run, and ends those of others. A pod that is being ended
    /// is only asked whether it is ready.
    pub(crate) fn sync(
        &mut self,
        shared: &Arc<Shared>,
        pod: &Arc<Value>,
        state: &State,
        addresses: &[String],
        ends: bool,
    ) {
        let mut wanted = HashMap::new();
        for container in Wanted::all(pod).filter(|it| matches!(it.role, Role::Main | Role::Sidecar)) {
            let newest = state.containers.iter().find(|found| found.name == container.name());
            let Some(newest) = newest.filter(|newest| newest.life == Life::Running) else { continue };
            for question in Question::ALL {
                let Some(spec) = at(container.spec, &[question.member()]) else { continue };
                let is_due = self.is_due(&newest.id, question, &container);
                if is_due && !(ends && question != Question::Readiness) {
                    wanted.insert(
                        (newest.id.clone(), question),
                        (container.spec.clone(), spec.clone(), newest.started_at),
                    );
                }
            }
        }
        self.tasks.retain(|key, task| {
            let keep = wanted.contains_key(key);
            if !keep {
                task.abort();
            }
            keep
        });
        let known = |id: &String| state.containers.iter().any(|found| found.id == *id);
        self.results.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| known(id));
        for (key, (container, spec, started_at)) in wanted {
            self.tasks.entry(key).or_insert_with_key(|key| {
                let asker = Asker {
                    shared: Arc::clone(shared),
                    pod: Arc::clone(pod),
                    container,
                    spec,
                    id: key.0.clone(),
                    question: key.1,
                    started_at,
                    addresses: addresses.to_vec(),
                    results: Arc::clone(&self.results),
                    wake: Arc::clone(&self.wake),
                };
                tokio::spawn(asker.run()).abort_handle()
            });
        }
    }

    /// Startup comes first; once it has passed it is asked no more.
    fn is_due(&self, id: &str, question: Question, container: &Wanted<'_>) -> bool {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let health = results.get(id).copied().unwrap_or_default();
        let has_started = !container.has("startupProbe") || health.started == Some(true);
        match question {
            Question::Startup => health.started.is_none(),
            Question::Readiness => has_started,
            // Who has failed is about to be restarted.
            Question::Liveness => has_started && health.alive != Some(false),
        }
    }
}

/// Asks one question of one container, again and again.
struct Asker {
    shared: Arc<Shared>,
    pod: Arc<Value>,
    container: Value,
    spec: Value,
    id: String,
    question: Question,
    started_at: i64,
    addresses: Vec<String>,
    results: Results,
    wake: Arc<Notify>,
}

impl Asker {
    async fn run(self) {
        let seconds = |name: &str, otherwise: i64| {
            let value = number(&self.spec, &[name]).filter(|value| *value > 0).unwrap_or(otherwise);
            Duration::from_secs(value.unsigned_abs())
        };
        let (delay, period) = (seconds("initialDelaySeconds", 0), seconds("periodSeconds", 10));
        let timeout = seconds("timeoutSeconds", 1);
        let age = from_nanos(self.started_at).map(|started| self.shared.now().duration_since(started));
        let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        tokio::time::sleep(delay.saturating_sub(age)).await;
        let subject = Subject {
            uid: crate::read::uid(&self.pod).to_owned(),
            namespace: crate::read::namespace(&self.pod).to_owned(),
            pod: crate::read::name(&self.pod).to_owned(),
            container: crate::read::text(&self.container, &["name"]).to_owned(),
            kind: self.question.word(),
        };
        let mut tally = Tally::new(&self.spec);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked_at = tokio::time::Instant::now();
            let answer =
                probe(&self.shared, &self.addresses, &self.container, &self.spec, &self.id, timeout).await;
            self.tell(&answer);
            let good = !matches!(answer, Answer::Failure(_));
            self.shared.probed.count(&subject, good, asked_at.elapsed());
            if let Some(verdict) = tally.count(good) {
                self.put(verdict);
                let is_final = match self.question {
                    Question::Startup => true,
                    Question::Liveness => !verdict,
                    Question::Readiness => false,
                };
                if is_final {
                    return;
                }
            }
        }
    }

    fn tell(&self, answer: &Answer) {
        let container = crate::read::text(&self.container, &["name"]);
        let (reason, words) = match answer {
            Answer::Success => return,
            Answer::Failure(why) => ("Unhealthy", format!("{} probe failed: {why}", self.question.word())),
            Answer::Warning(why) => {
                ("ProbeWarning", format!("{} probe warning: {why}", self.question.word()))
            }
        };
        self.shared.recorder.container(&self.pod, container, self.shared.now(), warning(reason, words));
    }

    fn put(&self, verdict: bool) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let health = results.entry(self.id.clone()).or_default();
        let place = match self.question {
            Question::Startup => &mut health.started,
            Question::Readiness => &mut health.ready,
            Question::Liveness => &mut health.alive,
        };
        let changed = place.replace(verdict) != Some(verdict);
        drop(results);
        if changed {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn verdicts_need_a_row_of_answers() {
        let mut tally = Tally::new(&json!({"successThreshold": 2, "failureThreshold": 3}));
        let answers = [true, true, false, false, true, false, false, false, false, true, true];
        let verdicts: String = answers
            .into_iter()
            .map(|good| match tally.count(good) {
                Some(true) => '+',
                Some(false) => '-',
                None => '.',
            })
            .collect();
        assert_eq!(verdicts, ".+.....--.+");
        let mut usual = Tally::new(&json!({}));
        assert_eq!([usual.count(false), usual.count(false), usual.count(false)], [None, None, Some(false)]);
        assert_eq!(usual.count(true), Some(true));
    }
}
