//! Probes, and what is run when a container starts and stops.

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::words;
use crate::validation::{Errors, PathRef};
use crate::value::{items, text};

/// What of a pod its containers' probes and handlers are checked against.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// How long the pod may take to end.
    pub(super) grace: Option<i64>,
    /// The operating system that the pod names.
    pub(super) os: &'a Value,
}

/// All probes of a container, and its lifecycle.
pub(super) fn check(container: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let lifecycle = &container["lifecycle"];
    if !lifecycle.is_null() {
        self::lifecycle(lifecycle, site, &path.child("lifecycle"), errors);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let at = path.child(name);
        self::probe(probe, site, &at, errors);
        let period = &probe["terminationGracePeriodSeconds"];
        if name == "readinessProbe" {
            if !period.is_null() {
                let why = "must not be set for readinessProbes";
                errors.push(FieldError::invalid(
                    at.child("terminationGracePeriodSeconds"),
                    period.clone(),
                    why,
                ));
            }
        } else if probe["successThreshold"].as_i64().unwrap_or(0) != 1 {
            let number = probe["successThreshold"].as_i64().unwrap_or(0);
            errors.push(FieldError::invalid(at.child("successThreshold"), number, "must be 1"));
        }
    }
}

fn probe(probe: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], site, path, errors);
    for name in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        words::nonnegative(&probe[name], &path.child(name), errors);
    }
    if let Some(seconds) = probe["terminationGracePeriodSeconds"].as_i64()
        && seconds <= 0
    {
        let at = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(at, seconds, "must be greater than 0"));
    }
}

fn lifecycle(lifecycle: &Value, site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    for name in ["postStart", "preStop"] {
        let found = &lifecycle[name];
        if !found.is_null() {
            handler(found, &["exec", "httpGet", "tcpSocket", "sleep"], site, &path.child(name), errors);
        }
    }
    if let Some(signal) = lifecycle["stopSignal"].as_str() {
        stop_signal(signal, site.os, &path.child("stopSignal"), errors);
    }
}

fn stop_signal(signal: &str, os: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    match os["name"].as_str() {
        None => errors
            .push(FieldError::forbidden(path, "may not be set for containers with empty `spec.os.name`")),
        Some("windows") => words::known_text(signal, &["SIGKILL", "SIGTERM"], path, errors),
        Some("linux") if !is_linux_signal(signal) => {
            let real_time = (1..=15).map(|number| format!("SIGRTMIN+{number}"));
            let downward = (1..=14).map(|number| format!("SIGRTMAX-{number}"));
            let names: Vec<String> = real_time.chain(downward).collect();
            let known: Vec<&str> =
                LINUX_SIGNALS.into_iter().chain(names.iter().map(String::as_str)).collect();
            errors.push(FieldError::not_supported(path, signal, &known));
        }
        Some(_) => {}
    }
}

fn is_linux_signal(signal: &str) -> bool {
    let upto = |number: &str, most: u8| {
        !number.starts_with(['0', '+']) && number.parse().is_ok_and(|number: u8| (1..=most).contains(&number))
    };
    LINUX_SIGNALS.contains(&signal)
        || signal.strip_prefix("SIGRTMIN+").is_some_and(|number| upto(number, 15))
        || signal.strip_prefix("SIGRTMAX-").is_some_and(|number| upto(number, 14))
}

const LINUX_SIGNALS: [&str; 36] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
    "SIGRTMAX",
];

/// Exactly one way to ask or to tell a container.
fn handler(handler: &Value, kinds: &[&str], site: Site<'_>, path: &PathRef<'_>, errors: &mut Errors) {
    let mut found = false;
    for name in kinds {
        let action = &handler[*name];
        if action.is_null() {
            continue;
        }
        let at = path.child(name);
        if found {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        match *name {
            "exec" if items(&action["command"]).is_empty() => {
                errors.push(FieldError::required(at.child("command"), ""));
            }
            "httpGet" => http_get(action, &at, errors),
            "tcpSocket" | "grpc" => words::port(&action["port"], &at.child("port"), errors),
            "sleep" => sleep(action, site.grace, &at, errors),
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http_get(action: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    words::needs(action, &["path"], path, errors);
    words::port(&action["port"], &path.child("port"), errors);
    words::known_text(text(&action["scheme"]), &["HTTP", "HTTPS"], &path.child("scheme"), errors);
    for header in items(&action["httpHeaders"]) {
        if words::enough(errors) {
            break;
        }
        let name = text(&header["name"]);
        words::faults(words::header_name(name), name, &path.child("httpHeaders"), errors);
    }
}

fn sleep(action: &Value, grace: Option<i64>, path: &PathRef<'_>, errors: &mut Errors) {
    let seconds = action["seconds"].as_i64().unwrap_or(0);
    if let Some(grace) = grace
        && (seconds < 0 || seconds > grace)
    {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, seconds, why));
    }
}
