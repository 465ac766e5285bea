//! An attacker who exchanges directories of the container's root with symlinks out of it, as fast
//! as it can, while containers are made: whatever the runtime makes, it makes inside.
//!
//! ```text
//! /x/dir  ⇄ link to the host        a destination: /x/dir/way/made
//! /x/dir/way (→ inner) ⇄ link to the host
//! ```
//!
//! About a second for each way in; `cargo xtask torture races` takes ten.

mod attack;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{Terminal, isolated};

use crate::bundle::Bundle;
pub(crate) use attack::report;
use attack::{Attack, Made};

/// Where the attacker waits for the runtime.
const MADE: &str = "/x/dir/way/made";

/// One mount at the place that is exchanged.
fn race_mount(mount: impl Fn(&Bundle) -> Value) {
    isolated(|| {
        let attack = Attack::new(Made::Directory);
        let mut mount = mount(attack.bundle());
        mount["destination"] = json!(MADE);
        attack.with(|spec| spec["mounts"].as_array_mut().unwrap().push(mount)).counting_mounts().run();
    });
}

#[test]
fn a_bind_mount() {
    race_mount(|bundle| {
        fs::create_dir_all(bundle.dir.join("volume")).unwrap();
        json!({ "type": "bind", "source": bundle.dir.join("volume"), "options": ["rbind"] })
    });
}

#[test]
fn a_bind_mount_of_a_file() {
    isolated(|| {
        Attack::new(Made::File)
            .with(|spec| {
                let mount = json!({ "destination": MADE, "type": "bind", "source": "/etc/passwd", "options": ["bind"] });
                spec["mounts"].as_array_mut().unwrap().push(mount);
            })
            .counting_mounts()
            .run();
    });
}

#[test]
fn a_bind_mount_from_inside_the_root() {
    isolated(|| {
        let attack = Attack::new(Made::Before);
        let source = attack.bundle().in_root(&MADE[1..]);
        attack
            .with(|spec| {
                let mount =
                    json!({ "destination": "/mnt", "type": "bind", "source": source, "options": ["rbind"] });
                spec["mounts"].as_array_mut().unwrap().push(mount);
            })
            .counting_mounts()
            .script("grep -q host /mnt/file && exit 7")
            .run();
    });
}

#[test]
fn a_tmpfs() {
    race_mount(|_| json!({ "type": "tmpfs", "source": "tmpfs", "options": ["ro"] }));
}

#[test]
fn a_tmpfs_that_begins_with_the_images_files() {
    isolated(|| {
        Attack::new(Made::Before)
            .with(|spec| {
                let mount = json!({ "destination": MADE, "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] });
                spec["mounts"].as_array_mut().unwrap().push(mount);
            })
            .counting_mounts()
            .script("grep -qr host /x /tmp && exit 7")
            .run();
    });
}

#[test]
fn a_procfs() {
    race_mount(|_| json!({ "type": "proc", "source": "proc" }));
}

#[test]
fn a_sysfs() {
    race_mount(|_| json!({ "type": "sysfs", "source": "sysfs", "options": ["ro"] }));
}

#[test]
fn cgroups() {
    race_mount(|_| json!({ "type": "cgroup", "source": "cgroup", "options": ["ro"] }));
}

#[test]
fn message_queues() {
    race_mount(|_| json!({ "type": "mqueue", "source": "mqueue" }));
}

#[test]
fn an_overlay_volume() {
    race_mount(|bundle| {
        let dirs = ["lower", "upper", "work"].map(|name| bundle.dir.join(name));
        // An overlay cannot have its upper layer on another one.
        dirs.iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
        let lower = format!("lowerdir={}:{}", dirs[0].display(), dirs[1].display());
        json!({ "type": "overlay", "source": "overlay", "options": ["ro", lower] })
    });
}

#[test]
fn a_device() {
    isolated(|| {
        Attack::new(Made::File)
            .with(|spec| {
                spec["linux"]["devices"] =
                    json!([{ "path": MADE, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 7, "gid": 7 }]);
            })
            .run();
    });
}

#[test]
fn the_default_devices() {
    isolated(|| {
        Attack::at("dev", &["null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"])
            .with(|spec| without_mounts(spec, "/dev"))
            .run();
    });
}

/// A path that is hidden: one that was not found would be seen by a mount that is missing.
fn race_mask(path: &str) {
    isolated(|| {
        Attack::new(Made::Before)
            .with(|spec| spec["linux"]["maskedPaths"] = json!([path]))
            .counting_mounts()
            .run();
    });
}

#[test]
fn a_masked_directory() {
    race_mask(MADE);
}

#[test]
fn a_masked_file() {
    race_mask(&format!("{MADE}/file"));
}

#[test]
fn a_read_only_path() {
    isolated(|| {
        Attack::new(Made::Before)
            .with(|spec| spec["linux"]["readonlyPaths"] = json!([MADE]))
            .counting_mounts()
            .run();
    });
}

#[test]
fn the_working_directory() {
    isolated(|| {
        Attack::new(Made::NewDirectory).with(|spec| spec["process"]["cwd"] = json!(MADE)).run();
    });
}

#[test]
fn the_working_directory_of_a_further_process() {
    isolated(|| {
        let attack = Attack::new(Made::Before);
        let bundle = attack.with(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
        bundle.bundle().start();
        bundle.run_each(|bundle| {
            let shell = "if grep -q host file; then exit 7; fi";
            let output = bundle.runtime(&["exec", "--cwd", MADE, "c", "sh", "-c", shell]);
            if output.code == 255 { 1 } else { output.code }
        });
    });
}

#[test]
fn the_procfs_that_parameters_are_written_to() {
    isolated(|| {
        let host = || fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
        let before = host();
        let attack = Attack::at("proc", &["sys/kernel/msgmax"]).with(|spec| {
            spec["linux"]["sysctl"] = json!({ "kernel.msgmax": "12321" });
            spec["linux"]["maskedPaths"] = json!(["/proc/keys"]);
            spec["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
        });
        attack.run();
        assert_eq!(host(), before);
    });
}

#[test]
fn the_console() {
    isolated(|| {
        let attack = Attack::at("dev", &["console", "ptmx", "pts/0"]).with(|spec| {
            spec["process"]["terminal"] = json!(true);
            without_mounts(spec, "/dev");
        });
        fs::create_dir_all(attack.bundle().in_root("dev/pts")).unwrap();
        attack.run_each(|bundle| {
            bundle.write_config();
            let path = bundle.dir.path().display().to_string();
            Terminal::spawn(&bundle.command(&["run", "--bundle", &path, "c"]), 25, 80).wait().1
        });
    });
}

fn without_mounts(spec: &mut Value, at: &str) {
    spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| Path::new(mount["destination"].as_str().unwrap()) != Path::new(at));
}
