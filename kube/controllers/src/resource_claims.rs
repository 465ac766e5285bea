//! `resourceclaim-controller`: claims for devices that live and die with their pods, and an end to the reservations
//! of pods that have ended.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::known::{pods, resource_claim_templates, resource_claims};
use crate::object::{
    annotation, at, controller_reference, is_controlled_by, is_deleting, items, name, namespace, remove, set,
    text, text_map, uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan, Target};
use crate::pods::is_finished;

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "resourceclaim-controller",
    concurrency: 5,
    watches: Watches::These(&[pods, resource_claims, resource_claim_templates]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    if change.is(resource_claims()) {
        let mut keys = vec![change.key()];
        keys.extend(change.controllers(pods(), "Pod"));
        return keys;
    }
    if change.is(resource_claim_templates()) {
        let all = view.list(pods(), Some(namespace(change.object())));
        let waiting =
            all.iter().filter(|pod| templates(pod).any(|(_, named)| named == name(change.object())));
        return waiting.map(|pod| Key::of(pods(), pod)).collect();
    }
    if items(change.object(), &["spec", "resourceClaims"]).is_empty() {
        return Vec::new();
    }
    let mut keys = vec![change.key()];
    // The end of a pod gives its devices back.
    if change.new.is_none_or(|pod| is_finished(pod) || is_deleting(pod)) {
        let pod = change.object();
        let named =
            items(pod, &["spec", "resourceClaims"]).iter().map(|claim| text(claim, &["resourceClaimName"]));
        let made = items(pod, &["status", "resourceClaimStatuses"])
            .iter()
            .map(|claim| text(claim, &["resourceClaimName"]));
        let all = named.chain(made).filter(|claim| !claim.is_empty());
        keys.extend(all.map(|claim| Key::new(resource_claims(), namespace(pod), claim)));
    }
    keys
}

/// The pod's claims that are made of templates: the pod's name for each, and the template's.
fn templates(pod: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = items(pod, &["spec", "resourceClaims"]).iter();
    all.filter_map(|claim| {
        let template = at(claim, &["resourceClaimTemplateName"])?.as_str()?;
        Some((text(claim, &["name"]), template))
    })
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(object) = observed.object() else { return Plan::nothing("it is gone") };
    if observed.key.resource == *pods() { of_pod(observed, &object) } else { of_claim(observed, &object) }
}

/// Makes the claims of a pod, and tells the pod of them.
fn of_pod(observed: &Observed<'_>, pod: &Arc<Value>) -> Plan {
    if is_finished(pod) || is_deleting(pod) {
        return Plan::nothing("the pod needs no devices any more");
    }
    let mine = observed.view.owned(resource_claims(), uid(pod));
    let (mut actions, mut statuses) = (Vec::new(), Vec::new());
    for (called, template) in templates(pod) {
        let is_it = |claim: &&Arc<Value>| {
            is_controlled_by(claim, uid(pod))
                && annotation(claim, POD_CLAIM) == Some(called)
                && !is_deleting(claim)
        };
        if let Some(claim) = mine.iter().find(is_it) {
            statuses.push(json!({"name": called, "resourceClaimName": name(claim)}));
            continue;
        }
        match observed.view.get(resource_claim_templates(), namespace(pod), template) {
            Some(template) => actions.push(creation(pod, called, &template)),
            None => {
                let text = format!(
                    "PodResourceClaim {called}: resourceclaimtemplate.resource.k8s.io {template:?} not found"
                );
                actions.push(Action::warning(pod, "FailedResourceClaimCreation", text));
            }
        }
    }
    let told = items(pod, &["status", "resourceClaimStatuses"]);
    let news = statuses.iter().any(|status| !told.contains(status));
    if news {
        let patch = json!({"metadata": {"uid": uid(pod)}, "status": {"resourceClaimStatuses": statuses}});
        actions.push(Action::patch_status(pods(), pod, patch));
    }
    Plan::of("its devices are claimed", actions)
}

fn creation(pod: &Value, called: &str, template: &Value) -> Action {
    let mut annotations = text_map(template, &["spec", "metadata", "annotations"]);
    annotations.insert(POD_CLAIM.to_owned(), called.to_owned());
    let made = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {
            "generateName": format!("{}-{called}-", name(pod)), "namespace": namespace(pod),
            "labels": text_map(template, &["spec", "metadata", "labels"]), "annotations": annotations,
            "ownerReferences": [controller_reference(pod, "v1", "Pod")],
        },
        "spec": template["spec"]["spec"],
    });
    Action::create(resource_claims(), namespace(pod), made)
}

/// Ends reservations of pods that have ended, then the allocation, then a claim that was made for such a pod.
fn of_claim(observed: &Observed<'_>, claim: &Arc<Value>) -> Plan {
    let uses = |consumer: &Value| {
        if !text(consumer, &["apiGroup"]).is_empty() || text(consumer, &["resource"]) != "pods" {
            return true;
        }
        let pod = observed.view.get(pods(), namespace(claim), text(consumer, &["name"]));
        pod.is_some_and(|pod| uid(&pod) == text(consumer, &["uid"]) && !is_finished(&pod))
    };
    let reserved = items(claim, &["status", "reservedFor"]);
    let kept: Vec<Value> = reserved.iter().filter(|consumer| uses(consumer)).cloned().collect();
    let owner = crate::object::controller_of(claim).filter(|owner| text(owner, &["kind"]) == "Pod");
    let pod = owner.and_then(|owner| observed.view.get(pods(), namespace(claim), text(owner, &["name"])));
    let pod = pod.filter(|pod| owner.is_some_and(|owner| uid(pod) == text(owner, &["uid"])));
    let is_over = owner.is_some() && pod.as_ref().is_some_and(|pod| is_finished(pod));
    // Whoever else allocated, without the scheduler's finalizer, takes back by itself.
    let held = crate::object::has_finalizer(claim, FINALIZER);
    let ends = held && kept.is_empty() && (is_deleting(claim) || is_over || reserved.len() != kept.len());
    if kept.len() != reserved.len() || (ends && at(claim, &["status", "allocation"]).is_some()) {
        let mut said = Value::clone(claim);
        if kept.is_empty() {
            remove(&mut said, &["status", "reservedFor"]);
        } else {
            set(&mut said, &["status", "reservedFor"], Value::Array(kept));
        }
        if ends {
            remove(&mut said, &["status", "allocation"]);
        }
        let write = Action::update_status(resource_claims(), said);
        return Plan::of("pods that used it have ended", vec![write]);
    }
    if is_over && !is_deleting(claim) {
        let delete = Action::Delete {
            target: Target::of(resource_claims(), claim),
            revision: None,
            propagation: None,
            grace_seconds: None,
        };
        return Plan::of("the pod that it was made for has ended", vec![delete]);
    }
    if is_deleting(claim) && held && at(claim, &["status", "allocation"]).is_none() {
        let free = crate::object::without_finalizer(claim, FINALIZER);
        return Plan::of("nothing is allocated for it", vec![Action::update(resource_claims(), free)]);
    }
    Plan::nothing("it is used as it should be")
}

/// The annotation of a claim with the pod's own name for it.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// What the scheduler puts to a claim that it allocates for.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    #[test]
    fn a_claim_for_a_pod() {
        let mut world = World::default();
        world.put(
            "pods",
            json!({"metadata": {"name": "p", "namespace": "a"},
            "spec": {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}}),
        );
        world.settle(LOOPS);
        assert!(world.events[0].starts_with("FailedResourceClaimCreation: "));
        world.put(
            "resourceclaimtemplates",
            json!({"metadata": {"name": "t", "namespace": "a"},
            "spec": {"metadata": {"labels": {"x": "y"}}, "spec": {"devices": {"requests": []}}}}),
        );
        world.settle(LOOPS);
        let claim = world.all("resourceclaims")[0].clone();
        assert!(name(&claim).starts_with("p-gpu-"));
        assert_eq!(
            (&claim["metadata"]["labels"]["x"], &claim["spec"]["devices"]["requests"]),
            (&json!("y"), &json!([]))
        );
        let pod = world.get("pods", "a", "p").unwrap();
        assert_eq!(
            pod["status"]["resourceClaimStatuses"],
            json!([{"name": "gpu", "resourceClaimName": name(&claim)}])
        );
        // The scheduler's part; then the pod ends.
        let called = name(&claim).to_owned();
        world.change("resourceclaims", "a", &called, |claim| {
            claim["metadata"]["finalizers"] = json!([FINALIZER]);
            claim["status"] = json!({"allocation": {}, "reservedFor": [{"resource": "pods", "name": "p", "uid": uid(&pod)}]});
        });
        world.settle(LOOPS);
        assert!(world.get("resourceclaims", "a", &called).unwrap()["status"]["allocation"].is_object());
        world.change("pods", "a", "p", |pod| pod["status"]["phase"] = json!("Succeeded"));
        world.settle(LOOPS);
        assert!(world.all("resourceclaims").is_empty());
    }

    #[test]
    fn a_shared_claim_is_given_back() {
        let mut world = World::default();
        world.put("resourceclaims", json!({"metadata": {"name": "c", "namespace": "a", "finalizers": [FINALIZER]},
            "status": {"allocation": {}, "reservedFor": [
                {"resource": "pods", "name": "gone", "uid": "u"}, {"resource": "pods", "name": "p", "uid": "v"}]}}));
        world.put(
            "pods",
            json!({"metadata": {"name": "p", "namespace": "a", "uid": "v"},
            "spec": {"resourceClaims": [{"name": "x", "resourceClaimName": "c"}]}}),
        );
        world.settle(LOOPS);
        let status = |world: &World| world.get("resourceclaims", "a", "c").unwrap()["status"].clone();
        assert_eq!(status(&world)["reservedFor"].as_array().unwrap().len(), 1);
        world.remove("pods", "a", "p");
        world.settle(LOOPS);
        assert_eq!((status(&world).get("reservedFor"), status(&world).get("allocation")), (None, None));
        // Of a claim that the scheduler did not allocate only the reservation ends.
        world.put(
            "resourceclaims",
            json!({"metadata": {"name": "d", "namespace": "a"}, "status": {
            "allocation": {}, "reservedFor": [{"resource": "pods", "name": "gone", "uid": "u"}]}}),
        );
        world.settle(LOOPS);
        assert_eq!(world.get("resourceclaims", "a", "d").unwrap()["status"], json!({"allocation": {}}));
    }
}
