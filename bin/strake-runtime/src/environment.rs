//! What the environment decides: where state is kept, and which systemd is asked.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cgroup::SystemdBus;

/// The state directory where none is named. A user's is below `XDG_RUNTIME_DIR`; with the sticky bit
/// it is not cleaned up as forgotten (XDG Base Directory Specification).
pub(crate) fn state_root() -> anyhow::Result<PathBuf> {
    let Some(dir) = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty() && is_user()) else {
        return Ok(PathBuf::from("/run/strake-runtime"));
    };
    let root = Path::new(&dir).join("strake-runtime");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&root);
    made.and_then(|()| fs::set_permissions(&root, Permissions::from_mode(0o1700))).with_context(|| {
        format!("make {}: the path in $XDG_RUNTIME_DIR must be writable by the user", root.display())
    })?;
    Ok(root)
}

/// The machine's systemd, or that of the user who calls.
pub(crate) fn systemd_bus() -> SystemdBus {
    let text = |name: &str| {
        env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
    };
    if !is_user() {
        let mut bus = SystemdBus::system();
        if let Some(address) = text("DBUS_SYSTEM_BUS_ADDRESS") {
            bus.addresses = vec![address];
        }
        return bus;
    }
    let of_session = text("DBUS_SESSION_BUS_ADDRESS");
    let of_runtime = text("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus"));
    let addresses = of_session.into_iter().chain(of_runtime).collect();
    SystemdBus { addresses, user: true }
}

/// Whether a user calls: also one who is root of a user namespace, unless the environment says that
/// it is root's own.
fn is_user() -> bool {
    let in_namespace = sys::user::mapped().is_some();
    sys::user::effective_uid() != 0 || in_namespace && env::var_os("USER").is_none_or(|user| user != "root")
}
