//! create, start, state, list, ps, kill, pause, delete.

use serde_json::{Value, json};
use testkit::{isolated, wait_until};

use crate::bundle::{Bundle, lives};

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn rt_01_a_container_goes_through_its_life() {
    isolated(|| {
        let bundle = Bundle::new().script("echo started; sleep 1000; true");
        bundle.create().ok();
        let state = bundle.state();
        assert_eq!(state["status"], "created");
        assert_eq!(state["ociVersion"], "1.3.0");
        assert_eq!(state["bundle"], bundle.dir.path().display().to_string());
        let pid = bundle.pid();
        assert!(lives(pid));
        assert_eq!(bundle.printed(), "");
        bundle.runtime(&["start", "c"]).ok();
        assert_eq!(bundle.state()["status"], "running");
        assert_eq!(bundle.pid(), pid);
        assert!(wait_until(SHORTLY, || bundle.printed() == "started\n"));
        // No process of the runtime is left: the program's parent is we, PID 1.
        let stat = sys::process::ProcStat::read(pid).unwrap();
        assert_eq!((stat.ppid, stat.comm.as_str()), (1, "sh"));
        bundle.runtime(&["start", "c"]).exits(1).says("already running");
        bundle.runtime(&["delete", "c"]).exits(1).says("not stopped");
        bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || !lives(pid)));
        let state = bundle.state();
        assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
        bundle.runtime(&["kill", "c", "TERM"]).exits(1).says("container not running");
        bundle.runtime(&["start", "c"]).exits(1).says("cannot start a container that has stopped");
        bundle.runtime(&["delete", "c"]).ok();
        bundle.assert_nothing_left();
        for command in ["state", "start", "delete", "kill", "pause", "resume", "ps"] {
            bundle.runtime(&[command, "c"]).exits(1).says("container does not exist");
        }
        bundle.runtime(&["delete", "--force", "c"]).ok();
    });
}

#[test]
fn start_after_the_death_of_init_is_an_error() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.create().ok();
        let pid = bundle.pid();
        bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || !lives(pid)));
        bundle.runtime(&["start", "c"]).exits(1).says("cannot start a container that has stopped");
        bundle.runtime(&["delete", "c"]).ok();
        bundle.assert_nothing_left();
    });
}

#[test]
fn an_id_is_taken_once_and_must_be_safe() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.create().ok();
        bundle.create().exits(1).says("already exists");
        assert_eq!(bundle.state()["status"], "created");
        for id in ["../x", ".", "a/b"] {
            bundle.runtime(&["state", id]).exits(1).says("not valid");
        }
    });
}

#[test]
fn a_created_container_can_be_deleted() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.create().ok();
        let pid = bundle.pid();
        bundle.runtime(&["delete", "c"]).ok();
        assert!(!lives(pid));
        bundle.assert_nothing_left();
    });
}

#[test]
fn cg_08_pause_and_resume() {
    isolated(|| {
        let bundle = Bundle::new().script("while true; do echo x; sleep 0.01; done");
        bundle.start();
        assert!(wait_until(SHORTLY, || !bundle.printed().is_empty()));
        bundle.runtime(&["pause", "c"]).ok();
        assert_eq!(bundle.state()["status"], "paused");
        let before = bundle.printed().len();
        bundle.runtime(&["exec", "c", "true"]).exits(255).says("paused");
        assert_eq!(bundle.printed().len(), before);
        bundle.runtime(&["resume", "c"]).ok();
        assert!(wait_until(SHORTLY, || bundle.printed().len() > before));
        bundle.runtime(&["resume", "c"]).exits(1).says("not paused");
        bundle.runtime(&["pause", "c"]).ok();
        bundle.runtime(&["delete", "--force", "c"]).ok();
        bundle.assert_nothing_left();
    });
}

#[test]
fn list_and_ps_show_it() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000 & sleep 1000; true");
        bundle.start();
        let pid = bundle.pid().to_string();
        assert_eq!(bundle.runtime(&["list", "-q"]).ok(), "c");
        let table = bundle.runtime(&["list"]);
        assert!(table.ok().starts_with("ID          PID         STATUS      BUNDLE"), "{}", table.stdout);
        let listed: Value = serde_json::from_str(bundle.runtime(&["list", "--format", "json"]).ok()).unwrap();
        assert_eq!((&listed[0]["id"], &listed[0]["owner"]), (&json!("c"), &json!("root")));
        assert!(wait_until(SHORTLY, || {
            let pids: Vec<i32> =
                serde_json::from_str(bundle.runtime(&["ps", "-f", "json", "c"]).ok()).unwrap();
            pids.len() == 3
        }));
        let ps = bundle.runtime(&["ps", "c"]);
        assert!(ps.ok().lines().any(|line| line.contains(&pid)), "{}", ps.stdout);
        assert_eq!(ps.ok().lines().count(), 4);
        bundle.runtime(&["delete", "c", "-f"]).ok();
        assert_eq!(bundle.runtime(&["list", "--format=json"]).ok(), "null");
    });
}

#[test]
fn kill_all_reaches_every_process() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000 & sleep 1000 & wait").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != "pid");
        });
        bundle.start();
        let pids = || -> Vec<i32> {
            serde_json::from_str(bundle.runtime(&["ps", "--format", "json", "c"]).ok()).unwrap()
        };
        assert!(wait_until(SHORTLY, || pids().len() == 3));
        let all = pids();
        bundle.runtime(&["kill", "--all", "c", "SIGKILL"]).ok();
        assert!(wait_until(SHORTLY, || !all.iter().any(|pid| lives(*pid))));
        bundle.runtime(&["delete", "c"]).ok();
        bundle.assert_nothing_left();
    });
}

#[test]
fn delete_ends_what_init_left_behind_without_a_pid_namespace() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000 & echo $!").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != "pid");
        });
        bundle.start();
        assert!(wait_until(SHORTLY, || bundle.state()["status"] == "stopped"));
        let left: i32 = bundle.printed().trim().parse().unwrap();
        assert!(lives(left));
        bundle.runtime(&["delete", "c"]).ok();
        assert!(wait_until(SHORTLY, || !lives(left)));
        bundle.assert_nothing_left();
    });
}

#[test]
fn annotations_and_the_pid_file_are_there() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["annotations"] = json!({ "a.b": "c" }));
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        let pid_file = bundle.dir.join("pid").display().to_string();
        let output = bundle
            .command(&["create", "c", "--bundle", &path, "--pid-file", &pid_file])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(output.unwrap().success());
        assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), bundle.pid().to_string());
        assert_eq!(bundle.state()["annotations"]["a.b"], "c");
    });
}

#[test]
fn bad_bundles_get_one_clear_sentence() {
    isolated(|| {
        let bundle = Bundle::new();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        bundle.runtime(&["create", "--bundle", &path, "c"]).exits(1).says("config.json not found");
        std::fs::write(bundle.dir.join("config.json"), "{").unwrap();
        bundle.runtime(&["create", "--bundle", &path, "c"]).exits(1).says("config.json is not valid");
        let bundle = bundle.with(|spec| spec["root"]["path"] = json!("nowhere"));
        bundle.run().exits(1).says("the bundle has no root filesystem");
        bundle.assert_nothing_left();
        assert_eq!(bundle.runtime(&["list", "-q"]).ok(), "");
    });
}

#[test]
fn messages_go_to_the_log_in_the_form_that_engines_read() {
    isolated(|| {
        let bundle = Bundle::new();
        let log = bundle.dir.join("log");
        let file = log.display().to_string();
        bundle
            .runtime(&["--log", &file, "--log-format", "json", "state", "c"])
            .exits(1)
            .says("does not exist");
        let line: Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().trim()).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container does not exist")));
        bundle.runtime(&["--log", &file, "state", "c"]).exits(1);
        assert!(
            std::fs::read_to_string(&log).unwrap().contains("level=error msg=\"container does not exist\"")
        );
    });
}

#[test]
fn the_record_explains_what_was_done() {
    isolated(|| {
        let bundle = Bundle::new().mount(json!({ "destination": "tmp", "type": "tmpfs", "source": "tmpfs" }));
        bundle.create().ok();
        let text = std::fs::read_to_string(bundle.state_root().join("c/state.json")).unwrap();
        let record: oci_runtime::ContainerRecord = serde_json::from_str(&text).unwrap();
        assert!(record.steps.iter().any(|step| step.name == "init: mounts"), "{:?}", record.steps);
        assert!(record.warnings.iter().any(|warning| warning.contains("tmp is not absolute")));
        assert!(record.namespaces.contains_key("pid"));
    });
}

#[test]
fn shares_that_no_hardware_here_can_give_are_an_error() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["linux"]["intelRdt"] = json!({ "closID": "x" }));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let said = bundle.run();
        match mounts.contains(" - resctrl ") {
            true => said.exits(1).says("clos dir not accessible"),
            false => said.exits(1).says("Intel RDT is not enabled"),
        };
        bundle.assert_nothing_left();
        bundle.with(|spec| spec["linux"]["intelRdt"] = Value::Null).start();
    });
}

#[test]
fn features_and_spec_print_what_can_be_used() {
    isolated(|| {
        let bundle = Bundle::new();
        let features: Value = serde_json::from_str(bundle.runtime(&["features"]).ok()).unwrap();
        assert_eq!(features["linux"]["seccomp"]["enabled"], true);
        assert!(features["mountOptions"].as_array().unwrap().iter().any(|word| word == "rro"));
        let linux = &features["linux"];
        for part in ["apparmor", "selinux", "intelRdt", "netDevices"] {
            assert_eq!(linux[part]["enabled"], true, "{part}");
        }
        assert_eq!(linux["cgroup"]["systemd"], true);
        // What is told is recognized: every option, each on a file system of its own.
        let words: Vec<&str> =
            features["mountOptions"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let all =
            words.iter().filter(|word| !["bind", "rbind", "idmap", "ridmap", "remount"].contains(*word));
        let options = all.enumerate().fold(Bundle::new(), |bundle, (at, word)| {
            let target = format!("/tmp/{at}");
            bundle.mount(json!({ "destination": target, "type": "tmpfs", "source": word, "options": [word] }))
        });
        options.run().ok();
        let known = |list: &Value, word: &str| list.as_array().unwrap().iter().any(|known| known == word);
        for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
            assert!(known(&linux["namespaces"], kind), "{kind}");
        }
        let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        let count = last.trim().parse::<usize>().unwrap() + 1;
        assert_eq!(linux["capabilities"].as_array().unwrap().len(), count);
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        bundle.runtime(&["spec", "--bundle", &path]).ok();
        bundle.runtime(&["spec", "--bundle", &path]).exits(1).says("remove it first");
    });
}

#[test]
fn others_see_a_container_that_runs_in_the_foreground() {
    isolated(|| {
        let bundle =
            Bundle::new().script("trap 'exit 7' TERM; echo up > /tmp/up; while :; do sleep 0.1; done");
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        let mut run = bundle.command(&["run", "--bundle", &path, "c"]).spawn().unwrap();
        let up = || bundle.in_root("tmp/up").exists();
        assert!(wait_until(std::time::Duration::from_secs(30), up));
        assert_eq!(bundle.state()["status"], "running");
        assert!(bundle.runtime(&["list", "--quiet"]).ok().contains('c'));
        bundle.runtime(&["start", "c"]).exits(1).says("already running");
        bundle.runtime(&["exec", "c", "true"]).ok();
        bundle.runtime(&["kill", "c", "TERM"]).ok();
        assert_eq!(run.wait().unwrap().code(), Some(7));
        bundle.runtime(&["state", "c"]).exits(1);
        bundle.assert_nothing_left();
    });
}

#[test]
fn a_run_deletes_its_own_container_and_not_the_next_one_of_that_id() {
    isolated(|| {
        let bundle = Bundle::new().script("echo up > /tmp/up; sleep 1000");
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        let mut run = bundle.command(&["run", "--bundle", &path, "c"]).spawn().unwrap();
        let up = || bundle.in_root("tmp/up").exists();
        assert!(wait_until(std::time::Duration::from_secs(30), up));
        // It learns of the end only when another container has the id.
        let pid = i32::try_from(run.id()).unwrap();
        sys::signal::kill(pid, sys::Signal::STOP).unwrap();
        bundle.runtime(&["delete", "--force", "c"]).ok();
        bundle.create().ok();
        sys::signal::kill(pid, sys::Signal::CONT).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(137));
        assert_eq!(bundle.state()["status"], "created");
        bundle.runtime(&["delete", "--force", "c"]).ok();
    });
}

/// runtime.md, "Start": only that needs `process`.
#[test]
fn a_container_without_a_process_can_be_created_but_not_started() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| drop(spec.as_object_mut().unwrap().remove("process")));
        bundle.create().ok();
        assert_eq!(bundle.state()["status"], "created");
        for _ in 0..2 {
            bundle.runtime(&["start", "c"]).exits(1).says("its config.json has no process");
            assert_eq!(bundle.state()["status"], "created");
        }
        bundle.runtime(&["delete", "--force", "c"]).ok();
        bundle.run().exits(1).says("its config.json has no process");
        bundle.assert_nothing_left();
    });
}
