//! What "should support … API operations" means, for any kind of the cluster.

use serde_json::{Value, json};

use crate::rig::{MERGE_PATCH, Rig, wait_for};

/// Three objects through every verb: discovery, create, get, list, watch, patch, update, `status`
/// (where there is one), delete, delete of a collection.
pub(crate) fn support(rig: &Rig, group: &str, resource: &str, object: &Value, status: Option<&Value>) {
    let version = discovered(rig, group, resource, status.is_some());
    let all = format!("/apis/{group}/{version}/{resource}");
    let label = object["metadata"]["name"].as_str().unwrap();
    let selected = format!("{all}?labelSelector=conformance%3D{label}");
    let make = |at: usize| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(format!("{label}-{at}"));
        object["metadata"]["labels"] = json!({"conformance": label});
        rig.create(&all, &object).ok()
    };
    let made = make(0);
    let path = format!("{all}/{label}-0");
    assert_eq!(rig.get(&path).ok()["metadata"]["uid"], made["metadata"]["uid"]);
    make(1);
    make(2);
    let list = rig.get(&selected).ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let from = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = rig.watch(&format!("{selected}&resourceVersion={from}"));

    let patched =
        rig.patch(&path, MERGE_PATCH, &json!({"metadata": {"annotations": {"patched": "true"}}})).ok();
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    let updated = updated(rig, &path, |object| object["metadata"]["annotations"]["updated"] = json!("true"));
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
    watch.until("MODIFIED", |seen| seen["metadata"]["annotations"]["updated"] == "true");
    if let Some(status) = status {
        support_status(rig, &path, status);
    }
    rig.delete(&path).ok();
    wait_for("its end", || rig.get(&path).code == 404);
    watch.until("DELETED", |seen| seen["metadata"]["name"] == updated["metadata"]["name"]);
    assert_eq!(rig.get(&selected).ok()["items"].as_array().unwrap().len(), 2);
    rig.delete(&selected).ok();
    wait_for("the end of all", || rig.get(&selected).ok()["items"].as_array().unwrap().is_empty());
}

/// `status` is what its status is to be: first by a patch, then by an update.
fn support_status(rig: &Rig, path: &str, status: &Value) {
    let path = format!("{path}/status");
    let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status});
    let patched = rig.patch(&path, MERGE_PATCH, &patch).ok();
    let kind = &status["conditions"][0]["type"];
    // The server may have conditions of its own beside it.
    let place = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().unwrap();
        conditions.iter().position(|condition| condition["type"] == *kind).unwrap()
    };
    let message = |object: &Value| object["status"]["conditions"][place(object)]["message"].clone();
    assert_eq!(message(&patched), status["conditions"][0]["message"], "{patched}");
    let next = updated(rig, &path, |object| {
        let at = place(object);
        object["status"]["conditions"][at]["message"] = json!("updated");
    });
    assert_eq!(message(&next), "updated");
    assert_eq!(message(&rig.get(&path).ok()), "updated");
}

/// An update of the object as it is; of its newest state if the server has changed it meanwhile.
fn updated(rig: &Rig, path: &str, edit: impl Fn(&mut Value)) -> Value {
    let mut updated = Value::Null;
    wait_for("an update", || {
        let mut object = rig.get(path).ok();
        edit(&mut object);
        let answer = rig.update(path, &object);
        if answer.code == 409 {
            return false;
        }
        updated = answer.ok();
        true
    });
    updated
}

/// The group is in discovery with `v1`, and the resource in that.
fn discovered(rig: &Rig, group: &str, resource: &str, status: bool) -> &'static str {
    let groups = rig.get("/apis").ok();
    let groups = groups["groups"].as_array().unwrap();
    let found = groups.iter().find(|found| found["name"] == group).unwrap();
    let versions = found["versions"].as_array().unwrap();
    assert!(versions.iter().any(|version| version["version"] == "v1"), "{found}");
    let versions = rig.get(&format!("/apis/{group}")).ok()["versions"].clone();
    assert!(versions.as_array().unwrap().iter().any(|version| version["version"] == "v1"));
    let resources = rig.get(&format!("/apis/{group}/v1")).ok()["resources"].clone();
    let named = |name: &str| resources.as_array().unwrap().iter().any(|found| found["name"] == name);
    assert!(named(resource), "{resources}");
    assert!(!status || named(&format!("{resource}/status")), "{resources}");
    "v1"
}
