//! The node goes down: its pods end, those that matter least first.

use std::sync::Arc;
use std::time::Duration;

use client::Mirror;
use serde_json::Value;

use crate::config::ShutdownGrace;
use crate::kubelet::{Shared, gvr};
use crate::model::{Cause, TERMINATION_BY_KUBELET};
use crate::read::{name, namespace, number, text, uid};
use crate::spec;

/// Ends all pods, group by group. Returns when they have ended and the API knows, or their time is up.
pub(crate) async fn end_all(shared: &Arc<Shared>) {
    let periods = shared.config.shutdown_grace.clone();
    if periods.is_empty() {
        return;
    }
    let mut view = (*shared.view()).clone();
    view.goes_down = true;
    shared.set_view(view);
    shared.news.notify_one();
    for (pods, most) in groups(&periods, shared.pods.all()) {
        for pod in &pods {
            let own = spec::grace(pod);
            let seconds = i64::try_from(most.as_secs()).unwrap_or(own);
            shared.stop_pod(uid(pod), &cause(), own.min(seconds));
        }
        let all_ended = async {
            while pods.iter().any(|pod| !is_over(shared, pod)) {
                tokio::time::sleep(LOOK).await;
            }
        };
        drop(tokio::time::timeout(most, all_ended).await);
    }
}

/// Why a pod that comes now is not taken.
pub(super) fn refusal() -> (String, String) {
    (NOT_ADMITTED.to_owned(), "Pod was rejected: Pod was rejected as the node is shutting down.".to_owned())
}

/// Whether a pod was ended by a shutdown, by its status.
pub(crate) fn was_ended(pod: &Value) -> bool {
    text(pod, &["status", "phase"]) == "Failed" && text(pod, &["status", "reason"]) == REASON
}

fn cause() -> Cause {
    Cause::Failed {
        reason: REASON.to_owned(),
        message: "Pod was terminated in response to imminent node shutdown.".to_owned(),
        disruption: Some(TERMINATION_BY_KUBELET.to_owned()),
    }
}

/// Whether nothing of a pod runs and whoever looks can see it.
fn is_over(shared: &Shared, pod: &Value) -> bool {
    let state = shared.pods.observed(uid(pod));
    if state.is_some_and(|state| state.sandboxes.iter().any(|sandbox| sandbox.is_ready)) {
        return false;
    }
    let seen = shared.cache.item(&gvr("pods").group_resource(), namespace(pod), name(pod));
    seen.is_none_or(|seen| matches!(text(&seen.value(), &["status", "phase"]), "Succeeded" | "Failed"))
}

/// The pods of each group, with the time that it has: those of lower priority first. A pod belongs to
/// the highest group that its priority reaches, or to the lowest. Empty groups take no time.
fn groups(periods: &[ShutdownGrace], pods: Vec<Arc<Value>>) -> Vec<(Vec<Arc<Value>>, Duration)> {
    let mut periods = periods.to_vec();
    periods.sort_by_key(|period| period.priority);
    let mut groups: Vec<(Vec<Arc<Value>>, Duration)> =
        periods.iter().map(|period| (Vec::new(), period.grace)).collect();
    for pod in pods {
        let priority = number(&pod, &["spec", "priority"]).unwrap_or_default();
        let above = periods.partition_point(|period| period.priority <= priority);
        if let Some(group) = groups.get_mut(above.saturating_sub(1)) {
            group.0.push(pod);
        }
    }
    groups.retain(|(pods, _)| !pods.is_empty());
    groups
}

const REASON: &str = "Terminated";
const NOT_ADMITTED: &str = "NodeShutdown";
/// Between two looks while pods end.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_end_in_the_order_of_their_priorities() {
        let pod = |name: &str, priority: i64| {
            Arc::new(json!({"metadata": {"name": name}, "spec": {"priority": priority}}))
        };
        let check = |periods: &[(i64, u64)], expected: &[(&str, u64)]| {
            let periods: Vec<ShutdownGrace> = periods
                .iter()
                .map(|(priority, seconds)| ShutdownGrace {
                    priority: *priority,
                    grace: Duration::from_secs(*seconds),
                })
                .collect();
            let pods = vec![pod("low", -5), pod("zero", 0), pod("ten", 10), pod("system", 2_000_000_000)];
            let found: Vec<(String, u64)> = groups(&periods, pods)
                .iter()
                .map(|(pods, grace)| {
                    let names: Vec<&str> = pods.iter().map(|pod| name(pod)).collect();
                    (names.join("+"), grace.as_secs())
                })
                .collect();
            let expected: Vec<(String, u64)> =
                expected.iter().map(|(names, seconds)| ((*names).to_owned(), *seconds)).collect();
            assert_eq!(found, expected);
        };
        check(&[(2_000_000_000, 5), (0, 20)], &[("low+zero+ten", 20), ("system", 5)]);
        check(&[(0, 20), (10, 3), (100, 9)], &[("low+zero", 20), ("ten", 3), ("system", 9)]);
        check(&[(10, 3)], &[("low+zero+ten+system", 3)]);
        check(&[], &[]);
    }
}
