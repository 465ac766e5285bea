//! `ServiceAccount`: every pod runs as a service account that exists, and gets its token.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube_object::names;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::notes::Notes;
use crate::plugin::{Need, Plugin, Scene};
use crate::random;
use crate::read::{at, is_empty, items, list_mut, set, text};
use crate::request::{Operation, Request};

const NAME: &str = "ServiceAccount";
const VOLUME: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// An hour, and seven seconds that tell such tokens from those that were asked for.
const EXPIRATION_SECONDS: u32 = 3607;
/// How long a pod waits for the default account of a new namespace.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(crate) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        let Some(pod) = request.object.as_ref().filter(|_| concerns(request)) else { return Vec::new() };
        let name = match text(pod, &["spec", "serviceAccountName"]) {
            "" => "default",
            name => name,
        };
        // Each new namespace gets its default account from a controller, soon.
        let patience = if name == "default" { PATIENCE } else { Duration::ZERO };
        let resource = GroupResource::new("", "serviceaccounts");
        vec![Need { patience, ..Need::of(resource, &request.namespace, name) }]
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") || request.operation != Operation::Create {
            return Ok(());
        }
        if request.object.as_ref().is_some_and(is_mirror) {
            return self.validate(request, scene, notes);
        }
        let Some(pod) = &mut request.object else { return Ok(()) };
        if text(pod, &["spec", "serviceAccountName"]).is_empty() {
            set(pod, &["spec"], "serviceAccountName", "default");
        }
        let name = text(pod, &["spec", "serviceAccountName"]).to_owned();
        set(pod, &["spec"], "serviceAccount", name.as_str());
        let account = account(request, &name, scene)?;
        if let Some(pod) = &mut request.object {
            equip(pod, &account);
        }
        Ok(())
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let Some(pod) = request.object.as_ref().filter(|_| concerns(request)) else { return Ok(()) };
        if is_mirror(pod) {
            return check_mirror(pod, request);
        }
        let name = text(pod, &["spec", "serviceAccountName"]);
        if name.is_empty() {
            let pod = text(pod, &["metadata", "name"]);
            let namespace = &request.namespace;
            return Err(
                request.forbidden(format_args!("no service account specified for pod {namespace}/{pod}"))
            );
        }
        let account = account(request, name, scene)?;
        let enforce = text(&account, &["metadata", "annotations", "kubernetes.io/enforce-mountable-secrets"]);
        if matches!(enforce, "1" | "t" | "T" | "true" | "TRUE" | "True") {
            let kinds: &[&str] = match request.subresource.as_str() {
                "" => &["initContainers", "containers"],
                _ => &["ephemeralContainers"],
            };
            check_secrets(&account, pod, kinds).map_err(|why| request.forbidden(why))?;
        }
        Ok(())
    }
}

fn concerns(request: &Request) -> bool {
    match request.operation {
        Operation::Create => request.is_for("", "pods"),
        Operation::Update => request.is_sub("", "pods", "ephemeralcontainers"),
        _ => false,
    }
}

fn is_mirror(pod: &Value) -> bool {
    !at(pod, &["metadata", "annotations", MIRROR]).is_null()
}

/// Gives a pod what its account has for it: the token, and secrets to pull images with.
fn equip(pod: &mut Value, account: &Value) {
    let automount = at(pod, &["spec", "automountServiceAccountToken"])
        .as_bool()
        .or_else(|| at(account, &["automountServiceAccountToken"]).as_bool());
    if automount != Some(false) {
        mount_token(pod);
    }
    let secrets = at(account, &["imagePullSecrets"]);
    if is_empty(at(pod, &["spec", "imagePullSecrets"])) && !is_empty(secrets) {
        set(pod, &["spec"], "imagePullSecrets", secrets.clone());
    }
}

fn account(request: &Request, name: &str, scene: &Scene<'_>) -> Result<Arc<Value>, Status> {
    let resource = GroupResource::new("", "serviceaccounts");
    scene.get(&resource, &request.namespace, name).ok_or_else(|| {
        request.forbidden(format_args!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            request.namespace
        ))
    })
}

fn check_mirror(pod: &Value, request: &Request) -> Result<(), Status> {
    let refuse = |why: &str| Err(request.forbidden(why));
    if !text(pod, &["spec", "serviceAccountName"]).is_empty() {
        return refuse("a mirror pod may not reference service accounts");
    }
    if super::references::of_secrets(pod) {
        return refuse("a mirror pod may not reference secrets");
    }
    let projects_token = |volume: &Value| {
        let sources = items(volume, &["projected", "sources"]);
        sources.iter().any(|source| at(source, &["serviceAccountToken"]).is_object())
    };
    if items(pod, &["spec", "volumes"]).iter().any(projects_token) {
        return refuse("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Mounts the token into every container that has nothing at its place.
fn mount_token(pod: &mut Value) {
    let volumes = items(pod, &["spec", "volumes"]);
    let known = volumes.iter().map(|volume| text(volume, &["name"])).find(|name| name.starts_with(VOLUME));
    let has_volume = known.is_some();
    let name = known.map_or_else(|| names::generate(VOLUME, random::bytes()), str::to_owned);
    let mut needed = false;
    for kind in ["initContainers", "containers"] {
        if items(pod, &["spec", kind]).is_empty() {
            continue;
        }
        for container in list_mut(pod, &["spec"], kind).into_iter().flatten() {
            let taken = |mount: &Value| text(mount, &["mountPath"]) == MOUNT_PATH;
            if !items(container, &["volumeMounts"]).iter().any(taken) {
                needed = true;
                let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
                list_mut(container, &[], "volumeMounts")
                    .into_iter()
                    .for_each(|list| list.push(mount.clone()));
            }
        }
    }
    if needed && !has_volume {
        let volume = token_volume(&name);
        list_mut(pod, &["spec"], "volumes").into_iter().for_each(|list| list.push(volume.clone()));
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": EXPIRATION_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

/// Whether the pod refers only to secrets that its account lists.
fn check_secrets(account: &Value, pod: &Value, kinds: &[&str]) -> Result<(), String> {
    let listed = |name| {
        let names = items(account, &[name]).iter().map(|item| text(item, &["name"]));
        names.collect::<BTreeSet<_>>()
    };
    let (secrets, pull_secrets) = (listed("secrets"), listed("imagePullSecrets"));
    let account_name = text(account, &["metadata", "name"]);
    let tail =
        format!("is not allowed because service account {account_name} does not reference that secret");
    if kinds.contains(&"containers") {
        for volume in items(pod, &["spec", "volumes"]).iter().filter(|v| at(v, &["secret"]).is_object()) {
            let name = text(volume, &["secret", "secretName"]);
            if !secrets.contains(name) {
                return Err(format!("volume with secret.secretName=\"{name}\" {tail}"));
            }
        }
    }
    for kind in kinds {
        let words = match *kind {
            "initContainers" => "init container",
            "ephemeralContainers" => "ephemeral container",
            _ => "container",
        };
        for container in items(pod, &["spec", kind]) {
            for env in items(container, &["env"]) {
                let Some(name) = at(env, &["valueFrom", "secretKeyRef", "name"]).as_str() else { continue };
                if !secrets.contains(name) {
                    let (own, env) = (text(container, &["name"]), text(env, &["name"]));
                    return Err(format!(
                        "{words} {own} with envVar {env} referencing secret.secretName=\"{name}\" {tail}"
                    ));
                }
            }
        }
    }
    if kinds.contains(&"containers") {
        for (index, secret) in items(pod, &["spec", "imagePullSecrets"]).iter().enumerate() {
            let name = text(secret, &["name"]);
            if !pull_secrets.contains(name) {
                return Err(format!(
                    "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account \
                     {account_name} does not reference that imagePullSecret"
                ));
            }
        }
    }
    Ok(())
}
