//! Security contexts of pods and containers: users, profiles, kernel settings.

use std::collections::BTreeSet;

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{windows, words};
use crate::validation::{Errors, PathRef};
use crate::value::{items, text};

/// The context of a whole pod.
pub(super) fn of_pod(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let context = &spec["securityContext"];
    if !context.is_object() {
        return;
    }
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        words::id(&context[name], &path.child(name), errors);
    }
    let groups = path.child("supplementalGroups");
    for (at, group) in items(&context["supplementalGroups"]).iter().enumerate() {
        if words::enough(errors) {
            break;
        }
        words::id(group, &groups.index(at), errors);
    }
    let on = |name: &str| spec[name].as_bool() == Some(true);
    if on("shareProcessNamespace") && on("hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, why));
    }
    sysctls(&context["sysctls"], on("hostNetwork"), on("hostIPC"), &path.child("sysctls"), errors);
    let once = |name: &str, known: &[&str], errors: &mut Errors| {
        words::if_set_one_of(&context[name], known, &path.child(name), errors);
    };
    once("fsGroupChangePolicy", &["Always", "OnRootMismatch"], errors);
    seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    windows::options(&context["windowsOptions"], &path.child("windowsOptions"), errors);
    app_armor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
    once("supplementalGroupsPolicy", &["Merge", "Strict"], errors);
    once("seLinuxChangePolicy", &["MountOption", "Recursive"], errors);
}

/// The context of one container.
pub(super) fn of_container(context: &Value, host_users: bool, path: &PathRef<'_>, errors: &mut Errors) {
    if !context.is_object() {
        return;
    }
    for name in ["runAsUser", "runAsGroup"] {
        words::id(&context[name], &path.child(name), errors);
    }
    if let Some(mount) = context["procMount"].as_str() {
        let at = path.child("procMount");
        words::known_text(mount, &["Default", "Unmasked"], &at, errors);
        if host_users && mount == "Unmasked" {
            errors.push(FieldError::invalid(at, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    if context["allowPrivilegeEscalation"].as_bool() == Some(false) {
        if context["privileged"].as_bool() == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, context.clone(), why));
        }
        if items(&context["capabilities"]["add"]).iter().any(|added| added == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, context.clone(), why));
        }
    }
    windows::options(&context["windowsOptions"], &path.child("windowsOptions"), errors);
    app_armor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
}

fn seccomp(profile: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, at) = (text(&profile["type"]), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(at, "type is required when seccompProfile is set"));
    } else {
        words::known_text(kind, &PROFILE_KINDS, &at, errors);
    }
    let at = path.child("localhostProfile");
    match (kind, profile["localhostProfile"].as_str()) {
        ("Localhost", None) => {
            errors.push(FieldError::required(at, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(file)) => words::descending_path(file, &at, errors),
        (_, Some(_)) => {
            let why = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(at, profile.clone(), why));
        }
        (_, None) => {}
    }
}

const PROFILE_KINDS: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// The longest path without its end, in bytes.
const PATH_LEN_MAX: usize = 4095;

fn app_armor(profile: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (at, name) = (path.child("localhostProfile"), profile["localhostProfile"].as_str());
    let required = "must be set when AppArmor type is Localhost";
    match (text(&profile["type"]), name) {
        ("Localhost", None) => errors.push(FieldError::required(at, required)),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(FieldError::invalid(at, name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                errors.push(FieldError::required(at, required));
            }
            if name.len() > PATH_LEN_MAX {
                errors.push(FieldError::too_long(at, PATH_LEN_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.push(FieldError::invalid(at, name, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            let why = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(path.child("type"), why));
        }
        (other, _) => errors.push(FieldError::not_supported(path.child("type"), other, &PROFILE_KINDS)),
    }
}

/// The longest name of a kernel setting.
const SYSCTL_LEN_MAX: usize = 253;

fn sysctls(list: &Value, host_network: bool, host_ipc: bool, path: &PathRef<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, setting) in items(list).iter().enumerate() {
        if words::enough(errors) {
            return;
        }
        let at = path.index(at);
        let at = at.child("name");
        let name = text(&setting["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !is_sysctl(name) {
            let why = format!(
                "must have at most {SYSCTL_LEN_MAX} characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            errors.push(FieldError::invalid(at, name, why));
        } else if seen.contains(name) {
            errors.push(FieldError::duplicate(at, name));
        }
        match namespace(name) {
            Some("net") if host_network => {
                errors.push(FieldError::invalid(at, name, "may not be specified when 'hostNetwork' is true"));
            }
            Some("ipc") if host_ipc => {
                errors.push(FieldError::invalid(at, name, "may not be specified when 'hostIPC' is true"));
            }
            _ => {}
        }
        seen.insert(name);
    }
}

fn is_sysctl(name: &str) -> bool {
    let end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let segment = |part: &str| {
        part.bytes().next().is_some_and(end)
            && part.bytes().next_back().is_some_and(end)
            && part.bytes().all(|byte| end(byte) || byte == b'-' || byte == b'_')
    };
    name.len() <= SYSCTL_LEN_MAX && name.split(['.', '/']).all(segment)
}

/// The kernel namespace that a setting belongs to, if it has one.
fn namespace(name: &str) -> Option<&'static str> {
    let name = name.replace('/', ".");
    let ipc = name == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|start| name.starts_with(start));
    if ipc { Some("ipc") } else { name.starts_with("net.").then_some("net") }
}
