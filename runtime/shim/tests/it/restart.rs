//! Restarts: the shim waits, then runs the exit command; a stop prevents that.

use std::fs;
use std::time::Duration;

use shim::{
    Adopted, Exit, FAILPOINTS, HealthCheck, HealthStatus, History, PROBE_FILE, Phase, RestartPolicy, Restarts,
};
use testkit::{isolated, wait_for, wait_until};

use crate::rig::Rig;

/// A container that fails, under `always`, after waits of that length.
fn failing(waited_ms: u64) -> Rig {
    let mut rig = Rig::shell("exit 17");
    let history = History { restarts: 1, waited_ms };
    rig.restarts = Some(Restarts { policy: RestartPolicy::Always, history, ..Restarts::default() });
    let ran = rig.dir.join("ran").display().to_string();
    rig.exit_command = vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("echo x >> {ran}")];
    rig
}

fn runs(rig: &Rig) -> usize {
    fs::read_to_string(rig.dir.join("ran")).map_or(0, |text| text.lines().count())
}

#[test]
fn the_exit_command_comes_after_the_wait_and_in_spite_of_a_holder() {
    isolated(|| {
        let rig = failing(100);
        let (mut client, _) = rig.launch().unwrap();
        client.hold_cleanup().unwrap();
        client.start().unwrap();
        let exit = client.wait().unwrap();
        let plan = exit.restart.expect("a restart follows");
        assert_eq!((plan.after_ms, exit.restarts, exit.by_hand), (200, 1, false));
        assert_eq!(Exit::read(&rig.record_dir()).unwrap().unwrap(), exit);
        // Whoever holds the cleanup has no say in it.
        client.cleaned_up().unwrap();
        assert!(wait_until(Duration::from_secs(20), || runs(&rig) == 1), "the exit command runs");
        assert!(wait_until(Duration::from_secs(20), || !shim::is_alive(&rig.state_dir())));
        assert!(shim::Timestamp::now() >= plan.at, "not before its time");
    });
}

#[test]
fn a_stop_while_it_waits_ends_it() {
    isolated(|| {
        let rig = failing(60_000);
        let exit = rig.finish();
        assert_eq!(exit.restart.map(|plan| plan.after_ms), Some(60_000));
        let mut client = rig.connect();
        assert_eq!(client.status().unwrap().phase, Phase::Exited);
        client.hold_cleanup().unwrap();
        let exit = client.stop(15, None).unwrap();
        assert_eq!((exit.restart, exit.by_hand, exit.code), (None, true, Some(17)));
        assert_eq!(Exit::read(&rig.record_dir()).unwrap().unwrap(), exit);
        client.cleaned_up().unwrap();
        assert!(wait_until(Duration::from_secs(20), || !shim::is_alive(&rig.state_dir())));
        assert_eq!(runs(&rig), 0, "who stopped it has cleaned up");
    });
}

#[test]
fn a_stop_or_a_kill_by_a_client_is_not_followed_by_a_restart() {
    isolated(|| {
        for stop in [true, false] {
            let mut rig = failing(0);
            rig.config["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "sleep 3600"]);
            let (mut client, _) = rig.run();
            let exit = if stop {
                client.stop(15, Some(Duration::ZERO)).unwrap()
            } else {
                client.kill(9).unwrap();
                client.wait().unwrap()
            };
            assert_eq!((exit.restart, exit.by_hand), (None, true), "{exit:?}");
            assert_eq!(exit.stopped.is_some(), stop);
        }
    });
}

#[test]
fn whatever_kills_the_shim_the_exit_command_comes_to_run() {
    isolated(|| {
        for failpoint in FAILPOINTS {
            let mut rig = failing(0);
            rig.failpoint = Some((*failpoint).to_owned());
            if let Ok((mut client, _)) = rig.launch() {
                let _ = client.start();
                let _ = client.wait();
            }
            let dead = wait_until(Duration::from_secs(10), || !shim::is_alive(&rig.state_dir()));
            assert!(dead, "{failpoint}: the shim lives");
            match rig.adopt().unwrap_or_else(|e| panic!("{failpoint}: {e}")) {
                Adopted::Ended(exit) => assert!(exit.restart.is_some(), "{failpoint}: {exit:?}"),
                Adopted::Alive(mut client, _) => {
                    if *failpoint == "shim.created" {
                        client.start().unwrap();
                    }
                    let exit = client.wait().unwrap();
                    assert!(exit.restart.is_some(), "{failpoint}: {exit:?}");
                }
            }
            assert!(wait_until(Duration::from_secs(20), || runs(&rig) >= 1), "{failpoint}: nothing runs");
        }
    });
}

#[test]
fn health_is_checked_by_a_process_in_the_container() {
    isolated(|| {
        let mut rig = Rig::shell("read x");
        rig.stdin = shim::StdinMode::Open;
        rig.health = Some(HealthCheck {
            interval_ms: 50,
            timeout_ms: 10_000,
            start_period_ms: 0,
            start_interval_ms: 50,
            retries: 2,
        });
        let mut probe = rig.config["process"].clone();
        probe["args"] = serde_json::json!(["/bin/sh", "-c", "echo checked; exit 3"]);
        fs::create_dir_all(rig.state_dir()).unwrap();
        fs::write(rig.state_dir().join(PROBE_FILE), probe.to_string()).unwrap();
        let (mut client, _) = rig.run();
        let health = wait_for("an unhealthy container", || {
            shim::Health::read(&rig.record_dir()).filter(|health| health.status == HealthStatus::Unhealthy)
        });
        let last = health.log.last().unwrap();
        assert_eq!((last.exit_code, last.output.as_str()), (3, "checked\n"));
        assert_eq!(client.status().unwrap().health, Some(HealthStatus::Unhealthy));
        // Frozen, it is not checked; then it is again.
        client.pause().unwrap();
        client.resume().unwrap();
        let before = shim::Health::read(&rig.record_dir()).unwrap().failing_streak;
        wait_for("a further check", || {
            shim::Health::read(&rig.record_dir()).filter(|health| health.failing_streak > before + 1)
        });
        client.kill(9).unwrap();
        let exit = client.wait().unwrap();
        assert_eq!(exit.health.unwrap().status, HealthStatus::Unhealthy);
    });
}
