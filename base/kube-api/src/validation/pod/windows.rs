//! What pods for Windows may say, and what only they may say.

use kube_object::field_error::FieldError;
use kube_object::names;
use serde_json::Value;

use super::containers;
use crate::validation::{Errors, PathRef};
use crate::value::{is_empty, text};

const CREDENTIAL_KIB_MAX: usize = 64;
const DOMAIN_LEN_MAX: usize = 256;
const USER_LEN_MAX: usize = 104;

/// Options that only Windows has.
pub(super) fn options(options: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    if let Some(name) = options["gmsaCredentialSpecName"].as_str() {
        let at = path.child("gmsaCredentialSpecName");
        super::words::faults(names::dns1123_subdomain(name), name, &at, errors);
    }
    if let Some(credential) = options["gmsaCredentialSpec"].as_str() {
        let at = path.child("gmsaCredentialSpec");
        if credential.is_empty() {
            errors.push(FieldError::invalid(at, credential, "gmsaCredentialSpec cannot be an empty string"));
        } else if credential.len() > CREDENTIAL_KIB_MAX * 1024 {
            let why = format!("gmsaCredentialSpec size must be under {CREDENTIAL_KIB_MAX} KiB");
            errors.push(FieldError::invalid(at, credential, why));
        }
    }
    if let Some(name) = options["runAsUserName"].as_str() {
        let wrong = user_name(name);
        super::words::faults(wrong, name, &path.child("runAsUserName"), errors);
    }
}

fn user_name(name: &str) -> Vec<String> {
    let one = |why: &str| vec![why.to_owned()];
    if name.is_empty() {
        return one("runAsUserName cannot be an empty string");
    }
    if name.chars().any(|letter| letter.is_ascii_control()) {
        return one("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, rest)) if rest.contains('\\') => {
            return one("runAsUserName cannot contain more than one backslash");
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut wrong = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_LEN_MAX) {
        wrong.push(format!("runAsUserName's Domain length must be under {DOMAIN_LEN_MAX} characters"));
    }
    if domain.is_some_and(|domain| !is_netbios(domain) && !is_dns(domain)) {
        wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty".to_owned());
    } else if user.len() > USER_LEN_MAX {
        wrong.push(format!("runAsUserName's User length must not be longer than {USER_LEN_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|letter| letter == '.' || letter == ' ') {
        wrong.push("runAsUserName's User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|letter| "\"/\\:;|=,+*?<>@[]".contains(letter)) {
        let why = "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]";
        wrong.push(why.to_owned());
    }
    wrong
}

fn is_netbios(domain: &str) -> bool {
    let odd = |letter: char| "\\/:*?\"<>|".contains(letter);
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(odd)
}

fn is_dns(domain: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric();
    domain.split('.').all(|label| {
        label.len() <= 63
            && label.bytes().next().is_some_and(word)
            && label.bytes().next_back().is_some_and(word)
            && label.bytes().all(|byte| word(byte) || byte == b'-')
    })
}

/// Processes on the host: all containers or none, and in the host's network.
pub(super) fn host_processes(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let of_pod = spec["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
    let (mut all, mut on_host) = (0, 0);
    containers::each(spec, path, &mut |container, at| {
        all += 1;
        let own = container["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let why = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            let (context, options) = ("securityContext", "windowsOptions");
            let at = at.child(context);
            let at = at.child(options);
            errors.push(FieldError::invalid(at.child("hostProcess"), own, why));
        }
        on_host += i32::from(own.or(of_pod) == Some(true));
    });
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let why =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", why));
    }
    if spec["hostNetwork"].as_bool() != Some(true) {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(path.child("hostNetwork"), false, why));
    }
}

/// The operating system that a pod is for, and what goes with it.
pub(super) fn os(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let os = &spec["os"];
    if os.is_null() {
        return;
    }
    let at = path.child("os");
    match text(&os["name"]) {
        "" => errors.push(FieldError::required(at.child("name"), "cannot be empty")),
        "linux" => for_linux(spec, path, errors),
        "windows" => for_windows(spec, path, errors),
        other => errors.push(FieldError::not_supported(at, other, &["linux", "windows"])),
    }
}

fn for_linux(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let why = "windows options cannot be set for a linux pod";
    let mut refuse = |context: &Value, at: &PathRef<'_>| {
        if !context["windowsOptions"].is_null() {
            errors.push(FieldError::forbidden(at.child("windowsOptions"), why));
        }
    };
    refuse(&spec["securityContext"], &path.child("securityContext"));
    containers::each(spec, path, &mut |container, at| {
        refuse(&container["securityContext"], &at.child("securityContext"));
    });
}

fn for_windows(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let why = "cannot be set for a windows pod";
    let context = path.child("securityContext");
    for (of_context, name) in OF_LINUX_PODS {
        let (value, at) = match of_context {
            true => (&spec["securityContext"][name], context.child(name)),
            false => (&spec[name], path.child(name)),
        };
        let plain_flag = name == "hostPID" || name == "hostIPC";
        let set = if plain_flag { value.as_bool() == Some(true) } else { !value.is_null() };
        if set && !(name == "sysctls" && is_empty(value)) {
            errors.push(FieldError::forbidden(at, why));
        }
    }
    containers::each(spec, path, &mut |container, at| {
        let at = at.child("securityContext");
        for name in OF_LINUX_CONTAINERS {
            if !container["securityContext"][name].is_null() {
                errors.push(FieldError::forbidden(at.child(name), why));
            }
        }
    });
}

/// What only Linux has: whether it stands in the pod's security context, and its name.
const OF_LINUX_PODS: [(bool, &str); 15] = [
    (true, "appArmorProfile"),
    (true, "seLinuxOptions"),
    (false, "hostUsers"),
    (false, "hostPID"),
    (false, "hostIPC"),
    (true, "seccompProfile"),
    (true, "fsGroup"),
    (true, "fsGroupChangePolicy"),
    (true, "sysctls"),
    (false, "shareProcessNamespace"),
    (true, "runAsUser"),
    (true, "runAsGroup"),
    (true, "supplementalGroups"),
    (true, "supplementalGroupsPolicy"),
    (true, "seLinuxChangePolicy"),
];
const OF_LINUX_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];
