//! Handing a seccomp listener to the agent that answers (OCI runtime-spec
//! `config-linux.md`, "The Container Process State").

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use oci_spec::runtime::LinuxSeccomp;
use serde::Serialize;

use crate::error::Error;
use crate::state::{ContainerRecord, OciState};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: OciState<'a>,
}

/// Sends the listener with the process's state to `listenerPath`.
pub(crate) fn send(
    seccomp: &LinuxSeccomp,
    record: &ContainerRecord,
    pid: i32,
    status: &'static str,
    listener: BorrowedFd<'_>,
) -> Result<(), Error> {
    let Some(path) = seccomp.listener_path() else { return Ok(()) };
    let container_pid = if record.pid == 0 { pid } else { record.pid };
    let message = ContainerProcessState {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: seccomp.listener_metadata().as_deref(),
        state: OciState::of(record, status, container_pid),
    };
    let bytes = serde_json::to_vec(&message).map_err(|error| Error::System {
        what: "write the state for the seccomp agent".to_owned(),
        source: error.into(),
    })?;
    let socket = UnixStream::connect(path).map_err(Error::path(
        "failed to connect with seccomp agent specified in the seccomp profile:",
        path,
    ))?;
    sys::fdpass::send(&socket, &bytes, &[listener])
        .map(drop)
        .map_err(Error::path("send the seccomp listener to", path))
}
