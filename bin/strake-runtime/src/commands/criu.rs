//! `checkpoint` and `restore`: what CRIU would do, and why it does not yet.

use anyhow::bail;

use crate::args::Invocation;

/// Says what is missing: CRIU on this machine, or our use of it.
pub(crate) fn refuse(invocation: &Invocation) -> anyhow::Result<u8> {
    let command = &invocation.command;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("criu").is_file());
    if !found {
        bail!("{command} needs CRIU: exec: \"criu\": executable file not found in $PATH; install criu")
    }
    bail!("{command} is not supported by this runtime: a container can be stopped and started again instead")
}
