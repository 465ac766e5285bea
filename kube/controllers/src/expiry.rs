//! What ends by time: finished jobs, bootstrap tokens, Leases of API servers that are gone.

use base64::Engine as _;
use kube_object::time::Time;
use serde_json::Value;

use crate::known::{jobs, leases, secrets};
use crate::object::{is_deleting, items, label, micro_time, namespace, number, text, time};
use crate::observed::{Loop, Observed, Watches};
use crate::plan::{Action, Plan, Target};

/// `ttl-after-finished-controller`: jobs that ended a while ago.
pub(crate) const FINISHED_JOBS: Loop = Loop {
    name: "ttl-after-finished-controller",
    concurrency: 5,
    watches: Watches::These(&[jobs]),
    keys: |change, _| change.new.map(|_| change.key()).into_iter().collect(),
    reconcile: |observed| reconcile(observed, "Foreground", job_ends),
};

/// `token-cleaner`: bootstrap tokens that have run out.
pub(crate) const TOKENS: Loop = Loop {
    name: "token-cleaner",
    concurrency: 1,
    watches: Watches::These(&[secrets]),
    keys: |change, _| {
        change.new.filter(|secret| is_token(secret)).map(|_| change.key()).into_iter().collect()
    },
    reconcile: |observed| reconcile(observed, "Background", token_ends),
};

/// Leases by which API servers tell that they live. The API server's own work, in its own name.
pub(crate) const SERVER_LEASES: Loop = Loop {
    name: "apiserver-lease-garbage-collector",
    concurrency: 1,
    watches: Watches::These(&[leases]),
    keys: |change, _| change.new.filter(|lease| is_server(lease)).map(|_| change.key()).into_iter().collect(),
    reconcile: |observed| reconcile(observed, "Background", lease_ends),
};

/// Deletes the object of the key when its time has come, and otherwise waits for that.
fn reconcile(observed: &Observed<'_>, propagation: &'static str, ends: fn(&Value) -> Option<i64>) -> Plan {
    let Some(object) = observed.object().filter(|object| !is_deleting(object)) else {
        return Plan::nothing("it is gone");
    };
    let Some(end) = ends(&object) else { return Plan::nothing("it does not end by time") };
    if let Some(left) = observed.until(end) {
        return Plan::nothing("its time has not come").again_after(Some(left));
    }
    let delete = Action::Delete {
        target: Target::of(&observed.key.resource, &object),
        revision: Some(crate::object::revision(&object).to_owned()),
        propagation: Some(propagation),
        grace_seconds: None,
    };
    Plan::of("its time is over", vec![delete])
}

fn job_ends(job: &Value) -> Option<i64> {
    let patience = number(job, &["spec", "ttlSecondsAfterFinished"])?;
    let finished = items(job, &["status", "conditions"]).iter().find(|found| {
        matches!(text(found, &["type"]), "Complete" | "Failed") && text(found, &["status"]) == "True"
    })?;
    Some(time(finished, &["lastTransitionTime"])?.saturating_add(patience))
}

fn is_token(secret: &Value) -> bool {
    text(secret, &["type"]) == "bootstrap.kubernetes.io/token" && namespace(secret) == "kube-system"
}

fn token_ends(secret: &Value) -> Option<i64> {
    let encoded = text(secret, &["data", "expiration"]);
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Time::parse(std::str::from_utf8(&bytes).ok()?).ok().map(Time::unix)
}

fn is_server(lease: &Value) -> bool {
    namespace(lease) == "kube-system"
        && label(lease, "apiserver.kubernetes.io/identity") == Some("kube-apiserver")
}

fn lease_ends(lease: &Value) -> Option<i64> {
    let renewed = micro_time(lease, &["spec", "renewTime"])?.div_euclid(1_000_000);
    Some(renewed.saturating_add(number(lease, &["spec", "leaseDurationSeconds"])?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[FINISHED_JOBS, TOKENS, SERVER_LEASES, crate::garbage::LOOP];

    #[test]
    fn each_has_its_time() {
        let mut world = World::default();
        let now = crate::object::time_text(world.now);
        world.put(
            "jobs",
            json!({"metadata": {"name": "j", "namespace": "a"}, "spec": {"ttlSecondsAfterFinished": 10},
            "status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": now}]}}),
        );
        let end = base64::engine::general_purpose::STANDARD.encode(crate::object::time_text(world.now + 20));
        world.put(
            "secrets",
            json!({"metadata": {"name": "t", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token", "data": {"expiration": end}}),
        );
        world.put("leases", json!({"metadata": {"name": "l", "namespace": "kube-system",
            "labels": {"apiserver.kubernetes.io/identity": "kube-apiserver"}},
            "spec": {"leaseDurationSeconds": 30, "renewTime": format!("{}.000000Z", now.trim_end_matches('Z'))}}));
        world.settle(LOOPS);
        assert_eq!(
            world.deadlines.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>(),
            [10, 20, 30]
        );
        let left =
            |world: &World| (world.all("jobs").len(), world.all("secrets").len(), world.all("leases").len());
        assert_eq!(left(&world), (1, 1, 1));
        for expected in [(0, 1, 1), (0, 0, 1), (0, 0, 0)] {
            world.pass(10, LOOPS);
            assert_eq!(left(&world), expected);
        }
    }
}
