//! The real CRIU, where the machine has one. It must be 4 or later: 3.17 does not know the vDSO of
//! Linux 6.18.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use serde_json::json;
use testkit::{isolated, wait_until};

use super::{Rig, SHORTLY};
use crate::bundle::{Bundle, lives};

/// The CRIU of `$PATH`, if it is new enough.
fn criu() -> Option<std::path::PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    let path = std::env::split_paths(&dirs).map(|dir| dir.join("criu")).find(|path| path.is_file())?;
    let output = Command::new(&path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().skip_while(|word| *word != "Version:").nth(1)?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= 4).then_some(path)
}

/// Saves and brings back a shell that counts. With the stand-in there is no memory to count on in.
#[test]
fn rt_42_a_program_goes_on_where_it_was() {
    let real = criu();
    isolated(|| {
        for own_cgroups in [false, true] {
            goes_on(real.as_deref(), own_cgroups, false);
        }
        // The stand-in makes no user namespace, and CRIU that ignores cgroups none of cgroups, without which the
        // container's root may mount none.
        if real.is_some() {
            goes_on(real.as_deref(), false, true);
        }
    });
}

fn goes_on(real: Option<&std::path::Path>, own_cgroups: bool, own_users: bool) {
    let script = "i=0; while sleep 0.05; do i=$((i+1)); echo $i >> /volume/count; done";
    let bundle = Bundle::new().script(script).with(|spec| {
        if !own_cgroups {
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != "cgroup");
        }
    });
    let bundle = if own_users { bundle.with_users(OUTSIDE) } else { bundle };
    let volume = bundle.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
    // Nobody but the host's root gets there by a path.
    fs::set_permissions(bundle.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mount = |destination: &str, source: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let bundle = bundle.mount(mount("/volume", volume.to_str().unwrap(), "bind", &["rbind"])).mount(mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["ro"],
    ));
    let mut rig = Rig::new(bundle);
    if let Some(real) = real {
        rig.criu = real.to_owned();
    }
    // Appended, since a shell that is killed may leave a file that it has just emptied.
    let count = || -> Option<u64> {
        fs::read_to_string(volume.join("count")).ok()?.lines().next_back()?.parse().ok()
    };
    // Its output must be within the container, or a pipe.
    rig.bundle.detached(&["run", "-d", "--bundle", rig.bundle.dir.path().to_str().unwrap(), "c"]);
    for _ in 0..2 {
        let pid = rig.bundle.pid();
        assert!(wait_until(SHORTLY, || count() > Some(3)));
        rig.runs(&["checkpoint", "--manage-cgroups-mode", "ignore", "c"]).ok();
        assert!(!lives(pid));
        rig.bundle.assert_nothing_left();
        if own_users {
            // Not the container's root's.
            let owner = fs::metadata(rig.bundle.dir.join("checkpoint")).unwrap();
            assert_eq!((owner.mode() & 0o777, owner.uid()), (0o700, 0));
        }
        let saved = count();
        rig.runs(&["restore", "-d", "--manage-cgroups-mode", "ignore", "c"]).ok();
        assert_eq!(rig.bundle.state()["status"], "running");
        assert!(wait_until(SHORTLY, || real.is_none() || count() > saved));
        let listed = rig.bundle.runtime(&["exec", "c", "ls", "/volume"]);
        assert_eq!(listed.ok().trim(), "count");
        let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", rig.bundle.pid())).unwrap();
        let path = format!("{}/c", rig.bundle.cgroup.path());
        assert!(
            cgroup
                .lines()
                .any(|line| line.contains(":pids:") && line.ends_with(path.trim_start_matches('/')))
        );
        if real.is_some() {
            let users = fs::read_to_string(format!("/proc/{}/uid_map", rig.bundle.pid())).unwrap();
            assert_eq!(users.contains(&OUTSIDE.to_string()), own_users, "{users}");
            let masked = rig.bundle.runtime(&["exec", "c", "sh", "-c", "cat /proc/keys; ls /sys/firmware"]);
            assert_eq!(masked.ok(), "");
        }
        let _ = fs::remove_dir_all(rig.bundle.dir.join("checkpoint"));
    }
    rig.bundle.runtime(&["delete", "--force", "c"]).ok();
    rig.bundle.assert_nothing_left();
}

/// Where the ids of a user namespace begin outside.
const OUTSIDE: u32 = 100_000;
