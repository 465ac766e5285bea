//! Restart policies, held by the shim: no daemon runs here.

use std::time::Duration;

use serde_json::Value;
use testkit::{Documented, Strake, isolated, wait_for, wait_until};

use crate::inspect;

/// Runs a container in the background under a policy.
fn under(strake: &Strake, policy: &str, name: &str, script: &str) {
    let options = ["run", "-d", "--restart", policy, "--name", name, "--network", "none"];
    strake.ok(&[&options[..], &["busybox", "sh", "-c", script]].concat());
}

fn restarts(strake: &Strake, name: &str) -> i64 {
    inspect(strake, name)["RestartCount"].as_i64().unwrap()
}

fn state(strake: &Strake, name: &str) -> String {
    inspect(strake, name)["State"]["Status"].as_str().unwrap().to_owned()
}

/// Until it was started again so often.
fn wait_for_restarts(strake: &Strake, name: &str, count: i64) {
    wait_for("restarts", || (restarts(strake, name) >= count).then_some(()));
}

/// The status of a container once it has ended for good.
fn last_code(strake: &Strake, name: &str) -> String {
    wait_for("the last end", || (state(strake, name) == "exited").then_some(()));
    strake.ok(&["wait", name])
}

/// Runs a container that fails at once until each wait for the next run takes seconds.
fn waiting(strake: &Strake, name: &str) {
    under(strake, "always", name, "exit 3");
    wait_for_restarts(strake, name, 5);
    wait_for("the wait", || (state(strake, name) == "restarting").then_some(()));
}

/// The host's id of the shim of a container: what its record names, ended or not.
pub(crate) fn shim_pid(strake: &Strake, name: &str) -> i32 {
    let id = inspect(strake, name)["Id"].as_str().unwrap().to_owned();
    let file = strake.state().join("containers").join(id).join("shim.json");
    let text = wait_for("the shim's record", || std::fs::read(&file).ok());
    let value: Value = serde_json::from_slice(&text).unwrap();
    i32::try_from(value["shim_pid"].as_i64().unwrap()).unwrap()
}

fn kill_9(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn one_that_fails_is_started_again_so_often() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        under(&strake, "on-failure:2", "fails", "echo run; exit 7");
        assert_eq!(last_code(&strake, "fails"), "7");
        assert_eq!((restarts(&strake, "fails"), state(&strake, "fails").as_str()), (2, "exited"));
        assert_eq!(strake.ok(&["logs", "fails"]), "run\nrun\nrun");
        let policy = &inspect(&strake, "fails")["HostConfig"]["RestartPolicy"];
        assert_eq!(
            (policy["Name"].as_str(), policy["MaximumRetryCount"].as_i64()),
            (Some("on-failure"), Some(2))
        );
        // Started by hand it begins to count anew.
        strake.ok(&["start", "fails"]);
        assert_eq!(last_code(&strake, "fails"), "7");
        assert_eq!(restarts(&strake, "fails"), 2);

        under(&strake, "on-failure", "succeeds", "exit 0");
        assert_eq!(last_code(&strake, "succeeds"), "0");
        assert_eq!(restarts(&strake, "succeeds"), 0);
    });
}

#[test]
fn a_run_again_has_the_same_files_and_a_network_that_works() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "echo x >> /kept; wc -l < /kept; sleep 0.2; exit 1";
        strake.ok(&[
            "run",
            "-d",
            "--name",
            "web",
            "--restart",
            "always",
            "-p",
            "80",
            "busybox",
            "sh",
            "-c",
            script,
        ]);
        wait_for_restarts(&strake, "web", 2);
        let three = || strake.run(&["logs", "web"]).stdout.contains("3\n");
        assert!(wait_until(Duration::from_secs(20), three), "the writable layer stays");
        strake.ok(&["stop", "-t", "0", "web"]);
        assert_eq!(state(&strake, "web"), "exited");
        strake.ok(&["rm", "web"]);
    });
}

#[test]
fn a_stop_by_hand_ends_it() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for policy in ["always", "unless-stopped", "on-failure"] {
            under(&strake, policy, policy, "exec sleep 3600");
            strake.ok(&["stop", "-t", "0", policy]);
            assert_eq!(
                (state(&strake, policy).as_str(), restarts(&strake, policy)),
                ("exited", 0),
                "{policy}"
            );
            strake.ok(&["start", policy]);
            strake.ok(&["kill", policy]);
            assert_eq!(strake.ok(&["wait", policy]), "137");
            assert_eq!(
                (state(&strake, policy).as_str(), restarts(&strake, policy)),
                ("exited", 0),
                "{policy}"
            );
        }
    });
}

#[test]
fn while_it_waits_it_is_restarting_and_can_be_stopped_or_removed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        waiting(&strake, "stopped");
        let inspected = inspect(&strake, "stopped")["State"].clone();
        assert_eq!(
            (inspected["Restarting"].as_bool(), inspected["Running"].as_bool()),
            (Some(true), Some(true))
        );
        assert_eq!((inspected["Pid"].as_i64(), inspected["ExitCode"].as_i64()), (Some(0), Some(3)));
        let listed = strake.ok(&["ps", "--filter", "status=restarting", "--format", "{{.Status}}"]);
        assert!(listed.starts_with("Restarting (3) ") && listed.ends_with(" ago"), "{listed}");
        strake.run(&["rm", "stopped"]).exits(1);
        strake.run(&["exec", "stopped", "true"]).exits(1);
        strake.ok(&["stop", "stopped"]);
        assert_eq!(state(&strake, "stopped"), "exited");
        let count = restarts(&strake, "stopped");
        strake.ok(&["start", "stopped"]);
        wait_for_restarts(&strake, "stopped", 1);
        assert!(count >= 5);
        strake.ok(&["rm", "-f", "stopped"]);

        waiting(&strake, "killed");
        assert_eq!(strake.ok(&["kill", "-s", "HUP", "killed"]), "killed");
        assert_eq!(state(&strake, "killed"), "exited");
        strake.run(&["kill", "killed"]).exits(1).says("is not running");
        strake.ok(&["rm", "killed"]);

        waiting(&strake, "removed");
        strake.ok(&["rm", "-f", "removed"]);
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn wait_returns_at_the_next_end() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        under(&strake, "always", "app", "sleep 0.2; exit 6");
        assert_eq!(strake.ok(&["wait", "app"]), "6");
        strake.ok(&["rm", "-f", "app"]);
        // One that is to be started again does not run.
        waiting(&strake, "fails");
        assert_eq!(strake.ok(&["wait", "fails"]), "3");
        strake.ok(&["rm", "-f", "fails"]);
    });
}

#[test]
fn waits_double_as_dockers_do() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        under(&strake, "on-failure:3", "fails", "exit 1");
        last_code(&strake, "fails");
        let why = strake.ok(&["why", "dead", "fails"]);
        for wait in ["after 100ms", "after 200ms", "after 400ms"] {
            assert!(why.contains(wait), "{wait} is not in\n{why}");
        }
    });
}

#[test]
fn a_shim_that_is_killed_changes_nothing_for_the_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        under(&strake, "always", "up", "echo begun; while [ ! -e /go ]; do sleep 0.05; done; rm /go; exit 4");
        let pid = inspect(&strake, "up")["State"]["Pid"].clone();
        kill_9(shim_pid(&strake, "up"));
        // Adopted with what it knew: it is started again after its end.
        assert_eq!(inspect(&strake, "up")["State"]["Pid"], pid);
        strake.ok(&["exec", "up", "touch", "/go"]);
        wait_for_restarts(&strake, "up", 1);
        wait_for("running", || (state(&strake, "up") == "running").then_some(()));
        strake.ok(&["rm", "-f", "up"]);

        // Killed while it waits: whoever looks has the restart done.
        under(&strake, "always", "waits", "exit 3");
        wait_for_restarts(&strake, "waits", 6);
        wait_for("the wait", || (state(&strake, "waits") == "restarting").then_some(()));
        let before = restarts(&strake, "waits");
        kill_9(shim_pid(&strake, "waits"));
        wait_for_restarts(&strake, "waits", before + 1);
        strake.ok(&["rm", "-f", "waits"]);
    });
}

#[test]
fn rt_03_after_a_boot_always_and_unless_stopped_come_back() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let sleeps = |policy: &str, name: &str| under(&strake, policy, name, "exec sleep 3600");
        sleeps("always", "always");
        sleeps("unless-stopped", "unless");
        sleeps("always", "always-stopped");
        sleeps("unless-stopped", "unless-stopped");
        sleeps("on-failure", "on-failure");
        sleeps("no", "no");
        strake.ok(&[
            "run",
            "-d",
            "--restart",
            "always",
            "--name",
            "joins",
            "--network",
            "container:always",
            "busybox",
            "sleep",
            "3600",
        ]);
        strake.ok(&[
            "create",
            "--restart",
            "always",
            "--name",
            "never-ran",
            "--network",
            "none",
            "busybox",
            "true",
        ]);
        strake.ok(&["stop", "-t", "0", "always-stopped", "unless-stopped"]);
        // The host goes down: all processes at once, and the state root with it.
        let running: Vec<i64> =
            ["always", "unless", "on-failure", "no", "joins"].map(|name| crate::pid(&strake, name)).into();
        for name in ["always", "unless", "on-failure", "no", "joins"] {
            kill_9(shim_pid(&strake, name));
        }
        for pid in running {
            kill_9(i32::try_from(pid).unwrap());
        }
        std::fs::remove_dir_all(strake.state()).unwrap();

        let started = strake.ok(&["system", "start-all"]);
        let mut started: Vec<&str> = started.lines().collect();
        started.sort_unstable();
        assert_eq!(started, ["always", "always-stopped", "joins", "unless"]);
        for name in &started {
            assert_eq!(state(&strake, name), "running", "{name}");
        }
        for name in ["unless-stopped", "on-failure", "no"] {
            assert_eq!(state(&strake, name), "exited", "{name}");
        }
        assert_eq!(state(&strake, "never-ran"), "created");
        assert_eq!(strake.ok(&["system", "start-all"]), "", "those that run are left alone");
    });
}

#[test]
fn a_policy_can_be_changed_while_it_runs() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "while [ ! -e /go ]; do sleep 0.05; done; exit 2";
        under(&strake, "no", "app", script);
        strake.ok(&["update", "--restart", "on-failure:1", "app"]);
        strake.ok(&["exec", "app", "touch", "/go"]);
        assert_eq!(last_code(&strake, "app"), "2");
        assert_eq!(restarts(&strake, "app"), 1);
        strake.ok(&["update", "--restart", "no", "app"]);
        strake.ok(&["start", "app"]);
        assert_eq!(last_code(&strake, "app"), "2");
        assert_eq!(restarts(&strake, "app"), 0);
        strake.run(&["update", "--restart", "sometimes", "app"]).exits(1).says("unless-stopped");
    });
}

#[test]
fn options_that_make_no_sense_are_refused() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let refused = |options: &[&str], why: &str| {
            let said =
                strake.run(&[&["create", "--network", "none"], options, &["busybox", "true"]].concat());
            assert!(said.code != 0 && said.stderr.contains(why), "{options:?}: {said:?}");
        };
        refused(&["--restart", "always", "--rm"], "cannot specify both --restart and --rm");
        refused(&["--restart", "sometimes"], "unless-stopped");
        refused(&["--restart", "always:3"], "on-failure only");
        refused(&["--restart", "on-failure:many"], "whole number");
        refused(
            &["--no-healthcheck", "--health-cmd", "true"],
            "--no-healthcheck conflicts with --health-* options",
        );
        refused(&["--health-cmd", "true", "--health-interval", "10us"], "--health-interval");
    });
}

#[test]
fn why_dead_is_a_certificate_of_each_of_the_last_ends() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        under(
            &strake,
            "on-failure:1",
            "app",
            "echo first $(cat /n); echo x >> /n; [ $(wc -l < /n) = 1 ] && exit 3; exit 4",
        );
        last_code(&strake, "app");
        let why: Value = serde_json::from_str(&strake.ok(&["why", "dead", "--json", "app"])).unwrap();
        Documented::read("json-why-dead").check(&why);
        let sections = why["sections"].as_array().unwrap();
        let ids: Vec<&str> = sections.iter().map(|section| section["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["why_dead", "last_words", "earlier_end", "earlier_last_words"]);
        let value = |section: &Value, name: &str| {
            let lines = section["lines"].as_array().unwrap();
            let line = lines.iter().find(|line| line["name"] == name);
            line.unwrap_or_else(|| panic!("no {name} in {section}"))["value"].as_str().unwrap().to_owned()
        };
        assert_eq!(value(&sections[0], "ended with"), "exit code 4");
        assert_eq!(value(&sections[0], "restarts"), "1 before this end, policy on-failure:1");
        assert_eq!(value(&sections[1], "1"), "first x");
        assert_eq!(value(&sections[2], "ended with"), "exit code 3");
        assert!(value(&sections[2], "next start").starts_with("after 100ms"));
        assert_eq!(value(&sections[3], "1"), "cat: can't open '/n': No such file or directory");

        strake.ok(&[
            "run",
            "-d",
            "--name",
            "slow",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 0' TERM; while :; do sleep 0.1; done",
        ]);
        strake.ok(&["stop", "-t", "30", "slow"]);
        let why: Value = serde_json::from_str(&strake.ok(&["why", "dead", "-J", "slow"])).unwrap();
        let grace = value(&why["sections"][0], "grace used");
        assert!(grace.ends_with(" of 30.00s"), "{grace}");
    });
}

#[test]
fn the_foreground_stays_attached_through_restarts() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run =
            ["run", "-i", "--name", "again", "--restart", "on-failure:3", "--network", "none", "busybox"];
        let script = "echo x >> /count; echo out $(wc -l < /count); echo err >&2; exit 5";
        let said = strake.run(&[&run[..], &["sh", "-c", script]].concat());
        assert_eq!(said.stdout, "out 1\nout 2\nout 3\nout 4\n", "not a byte of any run is missing");
        assert_eq!(said.stderr.matches("err\n").count(), 4, "{said:?}");
        said.exits(5);
        assert_eq!(restarts(&strake, "again"), 3);
        // So does who starts it again, or attaches later.
        let said = strake.run(&["start", "-a", "again"]);
        assert_eq!(said.stdout, "out 5\nout 6\nout 7\nout 8\n");
        said.exits(5);
    });
}

#[test]
fn a_signal_between_two_runs_ends_the_foreground_and_the_restarts() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = ["run", "--name", "waits", "--restart", "always", "--network", "none", "busybox", "false"];
        let client = strake.background(&run);
        wait_for("the container", || (strake.run(&["inspect", "waits"]).code == 0).then_some(()));
        // Late enough for a long wait between two runs.
        wait_for_restarts(&strake, "waits", 5);
        wait_for("it to wait", || (state(&strake, "waits") == "restarting").then_some(()));
        let process = rustix::process::Pid::from_raw(client.pid().cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let said = client.wait();
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        assert_eq!(state(&strake, "waits"), "exited");
        // A client that is killed leaves the container to its policy.
        let client = strake.background(&["start", "-a", "waits"]);
        wait_for("a run", || (restarts(&strake, "waits") == 0).then_some(()));
        wait_for_restarts(&strake, "waits", 5);
        wait_for("it to wait", || (state(&strake, "waits") == "restarting").then_some(()));
        let count = restarts(&strake, "waits");
        kill_9(client.pid().cast_signed());
        wait_for_restarts(&strake, "waits", count + 1);
        strake.ok(&["rm", "-f", "waits"]);
    });
}

#[test]
fn a_client_that_is_killed_in_the_middle_of_a_restart_leaves_it_to_who_looks_next() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // The first start passes each point once, the first restart is the second time.
        for point in ["start.marked", "start.mounted", "start.launched", "start.opened"] {
            let script = "if [ -e /ran ]; then exec sleep 3600; fi; touch /ran; exit 1";
            let run =
                ["run", "--name", "app", "--restart", "always", "--network", "none", "busybox", "sh", "-c"];
            let mut client = strake.command(&[&run[..], &[script]].concat());
            client.env("STRAKE_FAILPOINT", format!("{point}:1"));
            assert_eq!(testkit::run(&mut client).code, 137, "{point}: killed in the middle");
            wait_for("it to run again", || (state(&strake, "app") == "running").then_some(()));
            assert_eq!(restarts(&strake, "app"), 1, "{point}");
            strake.ok(&["stop", "-t", "0", "app"]);
            assert_eq!(state(&strake, "app"), "exited", "{point}: what was stopped stays so");
            strake.ok(&["rm", "app"]);
        }
        // A stop that comes first holds.
        let run = ["run", "--name", "app", "--restart", "always", "--network", "none", "busybox", "false"];
        let mut client = strake.command(&run);
        client.env("STRAKE_FAILPOINT", "start.launched:1");
        assert_eq!(testkit::run(&mut client).code, 137);
        strake.ok(&["stop", "app"]);
        assert_eq!(state(&strake, "app"), "exited");
        strake.ok(&["rm", "app"]);
    });
}
