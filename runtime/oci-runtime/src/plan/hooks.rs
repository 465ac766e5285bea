//! Hooks: whether each can be run when its turn comes.

use oci_spec::runtime::{Hook, Spec};

use super::SpecError;

/// Before anything is made: the turn of some comes after the creation.
pub(super) fn check(spec: &Spec) -> Result<(), SpecError> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    #[allow(deprecated, reason = "older bundles have them")]
    let kinds = [
        hooks.prestart(),
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    kinds.into_iter().flatten().flatten().try_for_each(one)
}

fn one(hook: &Hook) -> Result<(), SpecError> {
    if !hook.path().is_absolute() {
        return Err(SpecError::invalid("hooks path", hook.path().display(), "use an absolute path"));
    }
    match hook.timeout() {
        Some(seconds) if seconds <= 0 => {
            Err(SpecError::invalid("hooks timeout", seconds, "use a number of seconds above zero"))
        }
        _ => Ok(()),
    }
}
