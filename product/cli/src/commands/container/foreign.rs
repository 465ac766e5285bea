//! Options of docker's `run` that this engine, this host or Linux has not: known, and refused with the
//! reason, so that none is silently without effect.

use clap::{ArgAction, Args};
use engine::request::{InvalidOption, local_driver};

use super::options::ContainerOptions;
use crate::commands::image::remote::refuse_trust;
use crate::context::Context;
use crate::error::CliError;

/// Options that mean nothing here.
#[derive(Clone, Debug, Args)]
pub struct ForeignOptions {
    /// Don't ask for the image's signature, which is the default
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set, hide = true)]
    pub disable_content_trust: bool,
    /// Graphics processors
    #[arg(long, value_name = "REQUEST", hide = true)]
    pub gpus: Option<String>,
    /// Memory of the kernel for it
    #[arg(long, value_name = "BYTES", hide = true)]
    pub kernel_memory: Option<String>,
    /// Another container under a name
    #[arg(long, value_name = "CONTAINER[:ALIAS]", hide = true)]
    pub link: Vec<String>,
    /// Further link-local address
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub link_local_ip: Vec<String>,
    /// The daemon's socket in the container
    #[arg(long, hide = true)]
    pub use_api_socket: bool,
    /// Processors, on Windows
    #[arg(long, value_name = "N", hide = true)]
    pub cpu_count: Option<String>,
    /// Part of the processors, on Windows
    #[arg(long, value_name = "N", hide = true)]
    pub cpu_percent: Option<String>,
    /// Block I/O, on Windows
    #[arg(long, value_name = "BYTES", hide = true)]
    pub io_maxbandwidth: Option<String>,
    /// Block I/O, on Windows
    #[arg(long, value_name = "N", hide = true)]
    pub io_maxiops: Option<String>,
}

impl ForeignOptions {
    fn refuse(&self, context: &Context) -> Result<(), CliError> {
        let windows = [
            ("--cpu-count", &self.cpu_count),
            ("--cpu-percent", &self.cpu_percent),
            ("--io-maxbandwidth", &self.io_maxbandwidth),
            ("--io-maxiops", &self.io_maxiops),
        ];
        if let Some((option, value)) =
            windows.iter().find_map(|(option, value)| Some((option, value.as_ref()?)))
        {
            let why = "it is only supported on Windows: use --cpus or --device-read-bps and its like";
            return Err(InvalidOption::new(option, value, why).into());
        }
        refused(self.use_api_socket, "--use-api-socket", "there is no daemon, and so no socket")?;
        refused(!self.link.is_empty(), "--link", NO_LINKS)?;
        refused(!self.link_local_ip.is_empty(), "--link-local-ip", NO_LINK_LOCAL)?;
        if self.kernel_memory.is_some() {
            context.warn("--kernel-memory does nothing: since Linux 5.4 it counts as --memory");
        }
        Ok(())
    }
}

/// Why links are not made, and what serves instead.
pub(in crate::commands) const NO_LINKS: &str = "links are not made; in a network made with `strake network create` each container knows the others by \
     name, and by --network-alias";

/// Why `--link-local-ip` does nothing.
pub(in crate::commands) const NO_LINK_LOCAL: &str =
    "further link-local addresses are not given; leave it out";

/// One sentence for an option that is docker's and cannot be done here.
pub(in crate::commands) fn refused(is_given: bool, option: &str, why: &str) -> Result<(), CliError> {
    match is_given {
        true => Err(CliError::message(format!("{option} cannot be done: {why}"))),
        false => Ok(()),
    }
}

/// What docker knows and this host or engine has not: said, not ignored.
pub(super) fn refuse(options: &ContainerOptions, context: &Context) -> Result<(), CliError> {
    options.foreign.refuse(context)?;
    let wrong =
        |option, value: &str, why: String| Err(CliError::from(InvalidOption::new(option, value, why)));
    match options.runtime.as_deref() {
        None | Some("" | "strake" | "runc" | "io.containerd.runc.v2") => {}
        Some(other) => {
            let why = format!("unknown or invalid runtime name: {other}; leave it out for strake's own");
            return wrong("--runtime", other, why);
        }
    }
    match options.isolation.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "default") => {}
        Some(other) => {
            return wrong("--isolation", other, format!("invalid isolation {other:?} on linux; use default"));
        }
    }
    if let Some(gpus) = &options.foreign.gpus {
        let why = "could not select device driver \"\" with capabilities: [[gpu]]; hand on the device files with --device";
        return wrong("--gpus", gpus, why.to_owned());
    }
    refuse_trust(options.foreign.disable_content_trust)?;
    if let Some(driver) = &options.storage.volume_driver {
        local_driver("--volume-driver", driver, driver)?;
    }
    Ok(())
}
