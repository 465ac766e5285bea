//! The edge: a plugin is a program that is run with an environment and a standard input.
//! Section 2, "Execution Protocol".

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rustix::fs::MemfdFlags;
use serde::Deserialize;

use crate::attachment::Attachment;
use crate::error::Error;
use crate::failure::Failure;
use crate::names::{NetworkName, PluginType};
use crate::version::Version;

/// Where plugins are by custom, and where Debian has them.
pub const DEFAULT_PLUGIN_DIRECTORIES: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];

/// Where plugins find `iptables` and others when the caller has no `PATH`, as the supervisor.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What is kept of a plugin's last words.
const STDERR_CHARACTERS_MAX: usize = 500;

/// The directories with plugins.
#[derive(Clone, Debug)]
pub struct Plugins {
    directories: Vec<PathBuf>,
    path: OsString,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) kind: &'a PluginType,
    pub(crate) command: &'static str,
    pub(crate) network: &'a NetworkName,
    pub(crate) attachment: Option<&'a Attachment>,
    pub(crate) config: &'a [u8],
}

impl Plugins {
    /// Plugins of these directories, the first that has one wins. `path` is the `PATH` that they
    /// get.
    pub fn new(directories: Vec<PathBuf>, path: Option<OsString>) -> Self {
        Self { directories, path: path.unwrap_or_else(|| DEFAULT_PATH.into()) }
    }

    /// The directories.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The same with other directories.
    #[must_use]
    pub fn in_directories(&self, directories: Vec<PathBuf>) -> Self {
        Self { directories, path: self.path.clone() }
    }

    /// The program of that name.
    pub fn find(&self, kind: &PluginType) -> Result<PathBuf, Error> {
        let executable = |path: &PathBuf| {
            path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        let found = self.directories.iter().map(|directory| directory.join(kind.as_str())).find(executable);
        found.ok_or_else(|| Error::NoPlugin { kind: kind.clone(), directories: self.directories.clone() })
    }

    /// The versions that a plugin speaks: `VERSION`.
    pub fn versions(&self, kind: &PluginType, network: &NetworkName) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "supportedVersions")]
            supported: Vec<String>,
        }
        let config = format!("{{\"cniVersion\":\"{}\"}}", Version::LATEST);
        let call = Call { kind, command: "VERSION", network, attachment: None, config: config.as_bytes() };
        let stdout = self.call(&call)?;
        let answer: Answer = serde_json::from_slice(&stdout).map_err(|source| Error::Answer {
            kind: kind.clone(),
            command: "VERSION",
            network: network.clone(),
            source,
        })?;
        Ok(answer.supported)
    }

    /// Runs a plugin to its end; gives its standard output.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Error> {
        let path = self.find(call.kind)?;
        let run = || -> std::io::Result<Output> {
            let mut command = Command::new(&path);
            self.set_environment(&mut command, call);
            command.stdin(Stdio::from(input(call.config)?)).output()
        };
        let output = run().map_err(|source| Error::Run { path: path.clone(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let (kind, network, command) = (call.kind.clone(), call.network.clone(), call.command);
        match Failure::parse(&output.stdout) {
            Some(failure) => Err(Error::Refused { kind, command, network, failure: Box::new(failure) }),
            None => {
                let stderr: String =
                    String::from_utf8_lossy(&output.stderr).chars().take(STDERR_CHARACTERS_MAX).collect();
                let (status, stderr) = (output.status, stderr.trim().to_owned());
                Err(Error::Speechless { kind, command, network, status, stderr })
            }
        }
    }

    fn set_environment(&self, command: &mut Command, call: &Call<'_>) {
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_NETNS_OVERRIDE"] {
            command.env_remove(name);
        }
        let directories = std::env::join_paths(&self.directories).unwrap_or_default();
        command.env("PATH", &self.path).env("CNI_COMMAND", call.command).env("CNI_PATH", directories);
        let Some(attachment) = call.attachment else { return };
        command
            .env("CNI_CONTAINERID", attachment.container.as_str())
            .env("CNI_NETNS", &attachment.namespace)
            .env("CNI_IFNAME", attachment.interface.as_str())
            .env("CNI_ARGS", attachment.arguments_text());
    }
}

/// A standard input that is there before it is read: no pipe that somebody has to feed.
fn input(config: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("cni-config", MemfdFlags::CLOEXEC)?);
    file.write_all(config)?;
    file.rewind()?;
    Ok(file)
}
