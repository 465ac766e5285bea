//! From a message to the engine's request. Pure: files that matter come in as values.

mod container;
mod resources;
mod sandbox;
mod security;

pub use container::{ContainerInput, container, seccomp_file};
pub use resources::{merged, reported, requested};
pub use sandbox::{SandboxNetwork, sandbox};

use engine::request::InvalidOption;
use rpc::cri::{NamespaceMode, NamespaceOption};

/// A request that cannot be carried out, and why.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A message lacks a part that it must have.
    #[error("{0}")]
    Missing(&'static str),
    /// A value is wrong.
    #[error("{field} {value:?} is not valid: {why}")]
    Invalid {
        /// Where it stands.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// The engine refuses a value.
    #[error(transparent)]
    Option(#[from] InvalidOption),
}

impl base::Classified for PlanError {
    fn class(&self) -> base::ErrorClass {
        base::ErrorClass::Invalid
    }
}

#[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
fn invalid(field: &'static str, value: impl ToString, why: &'static str) -> PlanError {
    PlanError::Invalid { field, value: value.to_string(), why }
}

/// The namespaces that a message asks for, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Namespaces {
    network: NamespaceMode,
    pid: NamespaceMode,
    ipc: NamespaceMode,
}

fn namespaces(options: Option<&NamespaceOption>) -> Result<Namespaces, PlanError> {
    let Some(options) = options else {
        return Ok(Namespaces {
            network: NamespaceMode::Pod,
            pid: NamespaceMode::Pod,
            ipc: NamespaceMode::Pod,
        });
    };
    let mode = |field, number: i32| {
        NamespaceMode::try_from(number)
            .map_err(|_| invalid(field, number, "use POD, CONTAINER, NODE or TARGET"))
    };
    let user = options.userns_options.as_ref().filter(|user| user.mode() != NamespaceMode::Node);
    if user.is_some() {
        let why = "this runtime gives pods no user namespace of their own; leave hostUsers out or true";
        return Err(invalid("namespace_options.userns_options", "POD", why));
    }
    Ok(Namespaces {
        network: mode("namespace_options.network", options.network)?,
        pid: mode("namespace_options.pid", options.pid)?,
        ipc: mode("namespace_options.ipc", options.ipc)?,
    })
}

/// A name of the engine's, from parts: at most as long as a file's may be.
fn name(parts: &[&str]) -> String {
    let joined = format!("k8s_{}", parts.join("_"));
    let safe: String = joined
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' })
        .collect();
    if safe.len() <= NAME_MAX && safe == joined {
        return safe;
    }
    // What does not fit, or was changed, is told apart by a digest of the whole.
    let digest = base::Digest::sha256_of(joined.as_bytes());
    let begin: String = safe.chars().take(NAME_MAX - 13).collect();
    format!("{begin}_{}", digest.short())
}

/// `NAME_MAX` of Linux.
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests;
