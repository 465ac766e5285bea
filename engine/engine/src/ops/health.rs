//! A container's health: what its shim checks, and what that found.

use oci_spec::runtime::Spec;
use shim::{Health, HealthCheck, PROBE_FILE};

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;
use crate::request::Healthcheck;
use crate::spec::{ExecProcess, ResolvedUser, exec_process};

/// The program that checks a container's health, and when; nothing where none does. In a pod
/// that is the node agent's to do.
pub(super) fn check(record: &Record) -> Option<(Vec<String>, HealthCheck)> {
    if record.request.sandbox.is_some() {
        return None;
    }
    let health = healthcheck(record)?;
    Some((health.args(&record.config)?, health.times()))
}

/// The health check as it was asked for, over what the image says.
pub(super) fn healthcheck(record: &Record) -> Option<Healthcheck> {
    Healthcheck::effective(record.request.health.as_ref(), &record.config)
}

impl Engine {
    /// What is known of a container's health; nothing where it is not checked.
    pub fn health(&self, record: &Record) -> Option<Health> {
        check(record)?;
        match Health::read(&self.paths().record_dir(&record.id)) {
            None if record.lifecycle.is_up() => Some(Health::default()),
            known => known,
        }
    }

    /// `probe.json`, from which the shim runs the check.
    pub(super) fn write_probe(&self, record: &Record, spec: &Spec, user: &ResolvedUser) -> Result<(), Error> {
        let Some((args, _)) = check(record) else { return Ok(()) };
        let container = spec.process().clone().unwrap_or_default();
        let process = exec_process(&container, &ExecProcess { args, ..ExecProcess::default() }, user);
        let path = self.paths().state_dir(&record.id).join(PROBE_FILE);
        let bytes =
            serde_json::to_vec(&process).map_err(|error| Error::file("write", &path)(error.into()))?;
        std::fs::write(&path, bytes).map_err(Error::file("write", &path))
    }
}
