//! AppArmor: the profile of containers that ask for none.
//!
//! The kernel takes compiled policy only, in a form that differs from kernel to kernel, so `apparmor_parser` compiles
//! and loads it, as it does for docker, containerd and podman. Where AppArmor is off nothing is done.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The profile of a container that asks for none.
pub const APPARMOR_PROFILE: &str = "strake-default";

/// What the host has of AppArmor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AppArmorHost {
    /// It is off, or not ours to use.
    #[default]
    Off,
    /// It is on, and [`APPARMOR_PROFILE`] is there if the container needs it.
    On,
    /// It is on, and the profile cannot be had.
    NoProfile {
        /// Why not.
        why: String,
    },
}

/// Whether this kernel confines by profiles, and they can be loaded.
pub fn apparmor_is_on() -> bool {
    let enabled = fs::read("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|enabled| enabled.starts_with(b"Y")) && Path::new(POLICY).exists()
}

/// Looks at the host, and loads our profile if that is `needed` and it is not there. `state` is cleared when the
/// machine starts, as the kernel's profiles are.
pub(crate) fn look(needed: bool, state: &Path) -> AppArmorHost {
    if !apparmor_is_on() {
        return AppArmorHost::Off;
    }
    if !needed {
        return AppArmorHost::On;
    }
    let profile = profile(&own_label());
    let marker = state.join("apparmor-profile");
    if is_loaded() && fs::read_to_string(&marker).is_ok_and(|loaded| loaded == profile) {
        return AppArmorHost::On;
    }
    match load(&profile) {
        Ok(()) => {
            // Without it the next start loads the profile once more.
            let _ = fs::write(&marker, profile);
            AppArmorHost::On
        }
        // That of an earlier version, or of somebody who loaded it beforehand.
        Err(_) if is_loaded() => AppArmorHost::On,
        Err(why) => AppArmorHost::NoProfile { why },
    }
}

/// The list has `NAME (MODE)` lines.
fn is_loaded() -> bool {
    let profiles = fs::read_to_string(Path::new(POLICY).join("profiles")).unwrap_or_default();
    profiles.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == APPARMOR_PROFILE))
}

/// Who we are to AppArmor: the process that ends containers is.
fn own_label() -> String {
    let label = ["/proc/self/attr/apparmor/current", "/proc/self/attr/current"].iter().find_map(|path| {
        let label = fs::read_to_string(path).ok()?;
        let label = label.trim_end_matches(['\0', '\n']);
        Some(label.rsplit_once(" (").map_or(label, |(name, _)| name).to_owned())
    });
    label.filter(|label| !label.contains('"')).unwrap_or_else(|| UNCONFINED.to_owned())
}

fn load(profile: &str) -> Result<(), String> {
    let mut command = Command::new(PARSER);
    command.args(["--replace", "--skip-cache"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(
            |error| match error.kind() {
                io::ErrorKind::NotFound => {
                    "apparmor_parser is not installed (Debian has it in the package apparmor)".to_owned()
                }
                _ => format!("run apparmor_parser: {error}"),
            },
        )?;
    // It may end before it has read all; then it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(profile.as_bytes()));
    let ended = child.wait_with_output().map_err(|error| format!("run apparmor_parser: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("apparmor_parser: {}", said.trim().replace('\n', "; ")))
}

/// The policy's text. What capabilities, namespaces and mounts leave open it leaves open too, but for what would
/// change the host: mounting, and writing to what `/proc` and `/sys` have of it.
fn profile(own_label: &str) -> String {
    let peer = match own_label {
        UNCONFINED => String::new(),
        label => format!("  signal (receive) peer=\"{label}\",\n"),
    };
    PROFILE.replace("@NAME@", APPARMOR_PROFILE).replace("@PEER@", &peer)
}

const PROFILE: &str = "profile @NAME@ flags=(attach_disconnected,mediate_deleted) {
  capability,
  file,
  network,
  umount,
  deny mount,

  # The host's processes may end those of a container; containers reach each other's where a namespace lets them.
  signal (receive) peer=unconfined,
@PEER@  signal (send, receive) peer=@NAME@,
  ptrace (read, readby, trace, tracedby) peer=@NAME@,

  # Of /proc the processes' own directories are written, and limits of the IPC namespace.
  deny /proc/* wkl,
  deny /proc/[^1-9st]*/** wkl,
  deny /proc/{scsi,sysvipc,tty}/** wkl,
  deny /proc/sys/[^k]** wkl,
  deny /proc/sys/kernel/[^s]** wkl,
  deny /proc/sys/kernel/s[^eh]** wkl,
  deny /proc/sys/kernel/se[^m]** wkl,
  deny /proc/sys/kernel/sh[^m]** wkl,
  deny /proc/kcore rwkl,
  deny /proc/sysrq-trigger rwkl,

  # Of /sys, its own control group.
  deny /sys/[^f]** wkl,
  deny /sys/f[^s]** wkl,
  deny /sys/fs/[^c]** wkl,
  deny /sys/fs/c[^g]** wkl,
  deny /sys/firmware/** rwkl,
  deny /sys/devices/virtual/powercap/** rwkl,
  deny /sys/kernel/security/** rwkl,
}
";

const POLICY: &str = "/sys/kernel/security/apparmor";
/// Where all distributions have it, by a link if need be.
const PARSER: &str = "/sbin/apparmor_parser";
const UNCONFINED: &str = "unconfined";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_knows_who_ends_containers() {
        let free = profile(UNCONFINED);
        assert!(free.starts_with("profile strake-default flags="), "{free}");
        assert!(!free.contains('@') && !free.contains("peer=\""), "{free}");
        assert!(
            profile("a b").contains("\n  signal (receive) peer=\"a b\",\n  signal (send"),
            "{}",
            profile("a b")
        );
    }
}
