//! Rules of config maps, secrets and service accounts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::common::{
    base64_len, config_key_faults, immutable, no_change, no_subresource, nothing, subdomain_name, wrong,
};
use super::pod::words::enough;
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, members, same, text};

/// All values of a secret or config map together.
const BYTES_MAX: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub(super) const CONFIG_MAP: Rules = Rules {
    name: subdomain_name,
    create: config_map,
    update: config_map_update,
    subresource: no_subresource,
};
pub(super) const SECRET: Rules =
    Rules { name: subdomain_name, create: secret, update: secret_update, subresource: no_subresource };
pub(super) const SERVICE_ACCOUNT: Rules =
    Rules { name: subdomain_name, create: nothing, update: no_change, subresource: no_subresource };

fn config_map(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let (data, binary) = (PathRef::Root("data"), PathRef::Root("binaryData"));
    let mut bytes = 0;
    for (key, value) in members(&object["data"]) {
        if enough(errors) {
            break;
        }
        wrong(key, config_key_faults(key), &data.key(key), errors);
        if object["binaryData"].get(key).is_some() {
            let why = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(data.key(key), key.as_str(), why));
        }
        bytes += text(value).len();
    }
    for (key, value) in members(&object["binaryData"]) {
        if enough(errors) {
            break;
        }
        wrong(key, config_key_faults(key), &binary.key(key), errors);
        bytes += base64_len(text(value)).unwrap_or(0);
    }
    if bytes > BYTES_MAX {
        errors.push(FieldError::too_long("", BYTES_MAX));
    }
}

fn config_map_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    frozen(new, old, &["data", "binaryData"], errors);
    config_map(gvk, new, errors);
}

/// Who is immutable stays so, with all that it holds.
fn frozen(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if old["immutable"] != json!(true) {
        return;
    }
    if new["immutable"] != json!(true) {
        errors.push(FieldError::forbidden("immutable", FROZEN));
    }
    for field in fields.iter().filter(|field| !same(&new[**field], &old[**field])) {
        errors.push(FieldError::forbidden(*field, FROZEN));
    }
}

fn secret(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let data = PathRef::Root("data");
    let mut bytes = 0;
    for (key, value) in members(&object["data"]) {
        if enough(errors) {
            break;
        }
        wrong(key, config_key_faults(key), &data.key(key), errors);
        bytes += base64_len(text(value)).unwrap_or(0);
    }
    if bytes > BYTES_MAX {
        errors.push(FieldError::too_long(data, BYTES_MAX));
    }
    secret_type(object, &data, errors);
}

fn secret_type(object: &Value, data: &PathRef<'_>, errors: &mut Errors) {
    let has = |key: &str| object["data"].get(key).is_some();
    let mut need = |key: &str| {
        if !has(key) {
            errors.push(FieldError::required(data.key(key), ""));
        }
    };
    match text(&object["type"]) {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if is_empty(&object["metadata"]["annotations"][NAME]) {
                let annotations = PathRef::Root("metadata.annotations");
                errors.push(FieldError::required(annotations.key(NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(object, ".dockercfg", data, errors),
        "kubernetes.io/dockerconfigjson" => docker_config(object, ".dockerconfigjson", data, errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" if is_empty(&object["data"]["ssh-privatekey"]) => {
            errors.push(FieldError::required(data.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
        }
        _ => {}
    }
}

fn docker_config(object: &Value, key: &str, data: &PathRef<'_>, errors: &mut Errors) {
    let Some(value) = object["data"].get(key) else {
        errors.push(FieldError::required(data.key(key), ""));
        return;
    };
    let bytes = STANDARD.decode(text(value)).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
        let why = match bytes.is_empty() {
            true => "unexpected end of JSON input".to_owned(),
            false => error.to_string(),
        };
        errors.push(FieldError::invalid(data.key(key), "<secret contents redacted>", why));
    }
}

fn secret_update(gvk: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    immutable(&new["type"], &old["type"], &PathRef::Root("type"), errors);
    frozen(new, old, &["data"], errors);
    secret(gvk, new, errors);
}
