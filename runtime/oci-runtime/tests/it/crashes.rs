//! SIGKILL of the runtime at every named point: what is left can be deleted.

use serde_json::json;
use testkit::{isolated, wait_until};

use crate::bundle::{Bundle, lives};

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(10);

/// Processes below us, without ourselves.
pub(crate) fn others() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != 1 && lives(*pid)).collect()
}

fn killed_at(bundle: &Bundle, point: &str, args: &[&str]) {
    let null = || std::process::Stdio::null();
    let mut command = bundle.command(args);
    let status = command.env("STRAKE_FAILPOINT", point).stdout(null()).stderr(null()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point} was not reached");
}

#[test]
fn r3_create_killed_at_every_point_leaves_nothing_after_delete() {
    isolated(|| {
        for point in oci_runtime::FAILPOINTS.iter().filter(|point| point.starts_with("create.")) {
            let bundle = Bundle::new().script("sleep 1000");
            bundle.write_config();
            let path = bundle.dir.path().to_str().unwrap().to_owned();
            killed_at(&bundle, point, &["create", "--bundle", &path, "c"]);
            // Nobody has recorded init, or nobody has released it: it ends by itself.
            assert!(wait_until(SHORTLY, || others().is_empty()), "{point}: init lives without a record");
            bundle.runtime(&["delete", "--force", "c"]).ok();
            bundle.assert_nothing_left();
            // And the id is free again.
            bundle.start();
            bundle.runtime(&["delete", "--force", "c"]).ok();
        }
    });
}

#[test]
fn r3_run_killed_at_every_point_leaves_nothing_after_delete() {
    isolated(|| {
        for point in oci_runtime::FAILPOINTS.iter().filter(|point| !point.starts_with("delete.")) {
            let bundle = Bundle::new().script("sleep 1000");
            bundle.write_config();
            let path = bundle.dir.path().to_str().unwrap().to_owned();
            killed_at(&bundle, point, &["run", "--bundle", &path, "c"]);
            if *point == "start.opened" {
                assert_eq!(bundle.state()["status"], "running");
            } else {
                // Nobody has recorded init, or nobody has released it: it ends by itself.
                assert!(wait_until(SHORTLY, || others().is_empty()), "{point}: init lives on");
            }
            bundle.runtime(&["delete", "--force", "c"]).ok();
            assert!(wait_until(SHORTLY, || others().is_empty()), "{point}: init lives after delete");
            bundle.assert_nothing_left();
        }
        for point in ["delete.killed", "delete.cgroup"] {
            let bundle = Bundle::new().script("true");
            bundle.write_config();
            let path = bundle.dir.path().to_str().unwrap().to_owned();
            killed_at(&bundle, point, &["run", "--bundle", &path, "c"]);
            bundle.runtime(&["delete", "--force", "c"]).ok();
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn a_creation_that_was_killed_gives_no_right_to_anothers_cgroup() {
    isolated(|| {
        let victim = Bundle::new().script("sleep 1000");
        victim.start();
        let bundle = Bundle::new().with(|spec| {
            spec["linux"]["cgroupsPath"] = victim.spec["linux"]["cgroupsPath"].clone();
            // Then the runtime would have to kill all in the cgroup.
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
        });
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        killed_at(&bundle, "create.recorded", &["create", "--bundle", &path, "c"]);
        bundle.runtime(&["delete", "--force", "c"]).ok();
        assert_eq!(victim.state()["status"], "running");
        bundle.assert_nothing_left();
    });
}

#[test]
fn a_creation_that_goes_on_gives_no_right_to_anothers_cgroup() {
    isolated(|| {
        let victim = Bundle::new().script("sleep 1000");
        victim.start();
        let bundle = Bundle::new()
            .with(|spec| spec["linux"]["cgroupsPath"] = victim.spec["linux"]["cgroupsPath"].clone());
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        killed_at(&bundle, "create.recorded", &["create", "--bundle", &path, "c"]);
        // As if its creator lived: it is this process.
        let file = bundle.state_root().join("c/state.json");
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let us = std::process::id() as i32;
        record["creatorPid"] = us.into();
        record["creatorStartTime"] = sys::process::ProcStat::read(us).unwrap().start_time.into();
        std::fs::write(&file, record.to_string()).unwrap();
        assert_eq!(bundle.state()["status"], "creating");
        bundle.runtime(&["kill", "--all", "c", "KILL"]).exits(1);
        bundle.runtime(&["delete", "--force", "c"]).ok();
        assert_eq!(victim.state()["status"], "running");
        bundle.assert_nothing_left();
    });
}

#[test]
fn r3_delete_killed_at_every_point_can_be_repeated() {
    isolated(|| {
        for point in oci_runtime::FAILPOINTS.iter().filter(|point| point.starts_with("delete.")) {
            let bundle = Bundle::new().script("sleep 1000");
            bundle.start();
            let pid = bundle.pid();
            killed_at(&bundle, point, &["delete", "--force", "c"]);
            assert!(wait_until(SHORTLY, || !lives(pid)));
            bundle.runtime(&["delete", "--force", "c"]).ok();
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn r3_start_killed_after_the_gate_leaves_a_running_container() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.create().ok();
        killed_at(&bundle, "start.opened", &["start", "c"]);
        assert_eq!(bundle.state()["status"], "running");
        bundle.runtime(&["start", "c"]).exits(1).says("already running");
    });
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    isolated(|| {
        for break_it in [
            |spec: &mut serde_json::Value| spec["process"]["args"] = json!(["nope"]),
            |spec: &mut serde_json::Value| spec["linux"]["cgroupsPath"] = json!("/"),
            |spec: &mut serde_json::Value| spec["process"]["user"]["uid"] = json!(4_000_000_000_u32),
            |spec: &mut serde_json::Value| spec["linux"]["resources"]["memory"] = json!({ "limit": 1 }),
        ] {
            let bundle = Bundle::new().with(break_it);
            bundle.create();
            bundle.runtime(&["delete", "--force", "c"]).ok();
            bundle.assert_nothing_left();
            assert!(others().is_empty());
        }
    });
}
