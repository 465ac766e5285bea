//! The APIServices of what this server serves itself: made and taken away with its kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube_object::cluster::Cluster as _;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::remote::api_services;
use crate::discovery::{Foreign, group_priority};
use crate::kinds::{Resource, Table};
use crate::registry::{Body, DeleteOptions, Registry, Target, WriteOptions};
use crate::server::server_context;

/// The label of objects that the server looks after.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Makes the objects agree with the kinds.
pub(super) async fn sync(registry: &Registry, here: &[Foreign]) -> Result<(), Status> {
    let mut wanted = wanted(&registry.kinds().table());
    wanted.extend(here.iter().map(answered_here));
    let kinds = registry.kinds();
    let resource = kinds.resolve("apiregistration.k8s.io", "v1", "apiservices");
    let resource = resource.ok_or_else(Status::no_such_path)?;
    let cache = &registry.core.cache;
    for (name, object) in &wanted {
        if cache.get(&api_services(), "", name).is_none() {
            make(registry, &resource, name, object).await?;
        }
    }
    for object in cache.list(&api_services(), None) {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        if is_managed(&object) && !wanted.contains_key(name) {
            let target = Target::object(&resource, "", name);
            drop(registry.delete(&server_context(), &target, &DeleteOptions::default()).await);
        }
    }
    Ok(())
}

async fn make(
    registry: &Registry,
    resource: &Arc<Resource>,
    name: &str,
    object: &Value,
) -> Result<(), Status> {
    let (context, options) = (server_context(), WriteOptions::default());
    let collection = Target::collection(resource, "");
    let made = registry.create(&context, &collection, Body::from(object.clone()), &options).await;
    let mut object = match made {
        Ok(made) => made.to_value().as_ref().clone(),
        // Another server of the same cluster was faster.
        Err(status) if status.code == 409 => return Ok(()),
        Err(status) => return Err(status),
    };
    if let Some(fields) = object.as_object_mut() {
        fields.insert("status".to_owned(), json!({"conditions": [local_condition(&registry.core.now())]}));
    }
    let target = Target::object(resource, "", name).at("status");
    // Whoever changed it meanwhile had a reason.
    drop(registry.update(&context, &target, Body::from(object), &options).await);
    Ok(())
}

fn is_managed(object: &Arc<Value>) -> bool {
    let labels = object.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED));
    let remote = object.pointer("/spec/service").is_some_and(Value::is_object);
    labels.is_some() && !remote
}

fn wanted(table: &Table) -> BTreeMap<String, Value> {
    let mut wanted = BTreeMap::new();
    for (group, versions) in table.groups() {
        let group: &str = group.as_ref();
        // The group of APIServices is there before any of them.
        if group == "apiregistration.k8s.io" {
            continue;
        }
        let custom = table.resources().iter().filter(|it| it.gvr.group == *group).all(|it| it.is_custom());
        for (at, version) in versions.iter().enumerate() {
            let name = format!("{version}.{group}");
            let (label, priority) = if custom { ("true", 100) } else { ("onstart", 15) };
            // The preferred version has the higher priority.
            let priority = priority + 15 * (versions.len() - 1 - at);
            let object = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": name, "labels": {MANAGED: label}},
                "spec": {
                    "group": group, "version": version,
                    "groupPriorityMinimum": group_priority(group), "versionPriority": priority,
                },
            });
            wanted.insert(name, object);
        }
    }
    wanted
}

/// The object of a group that is no kind's but answered in this process.
fn answered_here(here: &Foreign) -> (String, Value) {
    let name = format!("{}.{}", here.version, here.group);
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {MANAGED: "onstart"}},
        "spec": {
            "group": here.group, "version": here.version,
            "groupPriorityMinimum": here.priority.0, "versionPriority": here.priority.1,
        },
    });
    (name, object)
}

fn local_condition(now: &str) -> Value {
    json!({
        "type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": now,
        "message": "Local APIServices are always available",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;

    #[test]
    fn every_group_has_one() {
        let wanted = wanted(&Kinds::new().table());
        assert_eq!(wanted["v1."]["spec"]["groupPriorityMinimum"], 18000);
        assert_eq!(wanted["v2.autoscaling"]["spec"]["versionPriority"], 30);
        assert_eq!(wanted["v1.autoscaling"]["spec"]["versionPriority"], 15);
        assert!(!wanted.contains_key("v1.apiregistration.k8s.io"));
    }
}
