//! One more process in a running container.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use base::ContainerId;
use oci_spec::runtime::Spec;
use shim::{Client, ExecSession, StreamSet};
use sys::root::RootDir;

use super::start::{read_in, still_there};
use crate::container::{Lifecycle, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::ImageGroups;
use crate::spec::{ExecProcess, exec_process, parse_group, parse_passwd, resolve_user};

/// What is to run.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables over the container's.
    pub env: Vec<String>,
    /// Where it starts.
    pub workdir: Option<String>,
    /// `user[:group]`; the container's when missing.
    pub user: Option<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// All capabilities.
    pub privileged: bool,
    /// Which streams the caller holds.
    pub streams: StreamSet,
    /// Nobody waits for it.
    pub detached: bool,
    /// Size of the terminal: columns and rows.
    pub console_size: Option<(u16, u16)>,
}

/// A process that was started in a container.
#[derive(Debug)]
pub struct RunningExec {
    /// The container.
    pub record: Record,
    /// The connection to its supervisor.
    pub client: Client,
    /// The process.
    pub session: ExecSession,
    /// Its id in events: 64 hexadecimal digits.
    pub exec_id: String,
}

impl Engine {
    /// Runs one more process in a container.
    pub fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<RunningExec, Error> {
        let record = self.look(id)?;
        let process = self.exec_process(&record, request)?;
        let exec_id = random_id()?;
        // As docker has it: also what then cannot be started was made.
        for action in ["exec_create", "exec_start"] {
            let action = format!("{action}: {}", request.args.join(" "));
            self.tell(&record, action, &[("execID", exec_id.clone())]);
        }
        let (record, client, session) = self.through_shim(id, |record, client| {
            let request = shim::ExecRequest {
                process: process.clone(),
                streams: request.streams,
                detached: request.detached,
                // Its supervisor tells of its end, whoever is there to see it.
                exec_id: Some(exec_id.clone()),
            };
            client.exec(request).map_err(Error::shim(&record.name))
        })?;
        Ok(RunningExec { record, client, session, exec_id })
    }

    /// The process as the OCI runtime takes it.
    fn exec_process(&self, record: &Record, request: &ExecRequest) -> Result<serde_json::Value, Error> {
        let name = || record.name.clone();
        let pid = match &record.lifecycle {
            Lifecycle::Running { paused: true, .. } => return Err(Error::Paused { name: name() }),
            Lifecycle::Running { pid, .. } => *pid,
            _ => return Err(Error::NotRunning { name: name() }),
        };
        let path = self.paths().state_dir(&record.id).join("config.json");
        let bytes = std::fs::read(&path).map_err(of_running(record, "read", &path))?;
        let spec: Spec =
            serde_json::from_slice(&bytes).map_err(|error| Error::file("read", &path)(error.into()))?;
        let container = spec.process().clone().unwrap_or_default();

        // Seen through its init's root: below it only descriptors are used.
        let root_path = PathBuf::from(format!("/proc/{pid}/root"));
        let root: OwnedFd = File::open(&root_path).map_err(of_running(record, "open", &root_path))?.into();
        // Init may have ended by now, and its id, and so the root, be a stranger's.
        still_there(std::slice::from_ref(record))?;
        let root = RootDir::from_fd(root);
        let passwd = parse_passwd(&read_in(&root, "/etc/passwd")?);
        let group = parse_group(&read_in(&root, "/etc/group")?);
        let own = container.user();
        let user = match &request.user {
            Some(user) => {
                let added = &record.request.process.group_add;
                resolve_user(user, added, ImageGroups::default(), &passwd, &group)?
            }
            None => {
                let own_ids = format!("{}:{}", own.uid(), own.gid());
                let mut user = resolve_user(&own_ids, &[], ImageGroups::Never, &passwd, &group)?;
                user.groups = own.additional_gids().clone().unwrap_or_default();
                user
            }
        };
        let privileged = if request.privileged {
            Some(crate::host::facts(false, &record.request.resources)?.capabilities)
        } else {
            None
        };
        let exec = ExecProcess {
            args: request.args.clone(),
            env: request.env.clone(),
            workdir: request.workdir.clone(),
            tty: request.tty,
            privileged,
            console_size: request.console_size,
        };
        serde_json::to_value(exec_process(&container, &exec, &user))
            .map_err(|error| Error::file("write", &path)(error.into()))
    }
}

fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::Random(errno.into()))?;
    Ok(crate::container::generate_id(bytes).to_string())
}

/// What only a running container has is missing when it has just ended.
fn of_running(record: &Record, operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |errno| match errno.kind() {
        ErrorKind::NotFound => Error::NotRunning { name: record.name.clone() },
        _ => Error::file(operation, path)(errno),
    }
}
