//! Kinds that keep pods running, now and then, and in the right number.

mod autoscaler;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption_budget;
mod history;
mod indexes;
mod int_or_percent;
mod job;
mod job_policies;
mod job_status;
mod replicas;
mod selection;
mod stateful_set;
#[cfg(test)]
mod tests;

use kube_object::resource::GroupVersionKind;

use super::Rules;

/// The rules of kinds that make pods or count them; none for others.
pub(super) fn rules(gvk: &GroupVersionKind) -> Option<Rules> {
    Some(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "ReplicationController") => replicas::CONTROLLER,
        ("apps", "ReplicaSet") => replicas::SET,
        ("apps", "Deployment") => deployment::RULES,
        ("apps", "DaemonSet") => daemon_set::RULES,
        ("apps", "StatefulSet") => stateful_set::RULES,
        ("apps", "ControllerRevision") => history::RULES,
        ("batch", "Job") => job::RULES,
        ("batch", "CronJob") => cron_job::RULES,
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler::RULES,
        ("autoscaling", "Scale") => autoscaler::SCALE,
        ("policy", "PodDisruptionBudget") => disruption_budget::RULES,
        _ => return None,
    })
}
