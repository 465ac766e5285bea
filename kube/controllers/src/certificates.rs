//! Certificate requests: `certificate-controller` approves those of nodes and signs what is approved, and
//! old ones are cleaned away.

use std::time::Duration;

use serde_json::Value;

use crate::conditions;
use crate::known::signing_requests;
use crate::object::{at, created, items, text, time};
use crate::observed::{Loop, Observed, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "certificate-controller",
    concurrency: 5,
    watches: Watches::These(&[signing_requests]),
    keys: |change, _| vec![change.key()],
    reconcile,
};

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(request) = observed.object() else { return Plan::nothing("the request is gone") };
    let ends = ends(&request);
    let Some(left) = observed.until(ends) else {
        return Plan::of("the request is old", vec![Action::delete(signing_requests(), &request)]);
    };
    let plan = decide(observed, &request);
    plan.again_after(Some(left))
}

fn decide(observed: &Observed<'_>, request: &Value) -> Plan {
    let signer = text(request, &["spec", "signerName"]);
    if !SIGNERS.contains(&signer) {
        return Plan::nothing("another signs it");
    }
    if has(request, "Denied") || has(request, "Failed") {
        return Plan::nothing("it is refused");
    }
    if has(request, "Approved") {
        if at(request, &["status", "certificate"]).is_some() {
            return Plan::nothing("it is signed");
        }
        if !observed.settings.signs_certificates {
            return Plan::nothing("another signs it");
        }
        return Plan::of("it is approved", vec![Action::Sign { request: request.clone() }]);
    }
    if !observed.settings.approves_certificates {
        return Plan::nothing("another approves it");
    }
    let asked = || Plan::of("a node may have asked", vec![Action::Approve { request: request.clone() }]);
    match signer {
        "kubernetes.io/kube-apiserver-client-kubelet" => return asked(),
        // The node's addresses may be seen after its request.
        "kubernetes.io/kubelet-serving" => {
            let is_new = observed.until(created(request).saturating_add(60)).is_some();
            return asked().again_after(is_new.then_some(Duration::from_secs(1)));
        }
        _ => {}
    }
    Plan::nothing("somebody has to approve it")
}

/// When the request is of no more use, in seconds since 1970: an hour after it is done, a day if it never is.
fn ends(request: &Value) -> i64 {
    let is_signed = at(request, &["status", "certificate"]).is_some();
    let decided = ["Approved", "Denied", "Failed"].iter().filter_map(|kind| {
        let found = conditions::find(request, kind)?;
        let since = time(found, &["lastUpdateTime"]).or_else(|| time(found, &["lastTransitionTime"]))?;
        let is_done = *kind != "Approved" || is_signed;
        Some(since.saturating_add(if is_done { HOUR } else { 24 * HOUR }))
    });
    decided.min().unwrap_or_else(|| created(request).saturating_add(24 * HOUR))
}

fn has(request: &Value, kind: &str) -> bool {
    items(request, &["status", "conditions"]).iter().any(|found| text(found, &["type"]) == kind)
}

const SIGNERS: &[&str] = &[
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/legacy-unknown",
];
const HOUR: i64 = 3600;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    fn request(signer: &str) -> Value {
        json!({"metadata": {"name": "r"}, "spec": {"signerName": signer}})
    }

    fn found(world: &World) -> Option<std::sync::Arc<Value>> {
        world.get("certificatesigningrequests", "", "r")
    }

    #[test]
    fn nodes_are_approved_and_signed() {
        let mut world = World::default();
        world.put("certificatesigningrequests", request("kubernetes.io/kube-apiserver-client-kubelet"));
        world.settle(&[LOOP]);
        assert_eq!(found(&world).unwrap()["status"]["certificate"], "signed");
        world.pass(3601, &[LOOP]);
        assert!(found(&world).is_none());
    }

    #[test]
    fn without_an_authority_they_are_approved_only() {
        let mut world = World::default();
        world.settings.signs_certificates = false;
        world.put("certificatesigningrequests", request("kubernetes.io/kube-apiserver-client-kubelet"));
        world.settle(&[LOOP]);
        let found = found(&world).unwrap();
        assert_eq!(found["status"]["conditions"][0]["type"], "Approved");
        assert!(found["status"].get("certificate").is_none());
    }

    #[test]
    fn others_wait_for_approval() {
        let mut world = World::default();
        world.put("certificatesigningrequests", request("kubernetes.io/kube-apiserver-client"));
        world.settle(&[LOOP]);
        assert!(
            found(&world).unwrap().get("status").is_none_or(|status| status.get("certificate").is_none())
        );
        assert_eq!(world.deadlines, [Duration::from_secs(86400)]);
        world.change("certificatesigningrequests", "", "r", |request| {
            request["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        });
        // An approval without a time is as old as time itself: upstream's, too, is always stamped.
        world.now = 0;
        world.settle(&[LOOP]);
        assert_eq!(found(&world).unwrap()["status"]["certificate"], "signed");
    }
}
