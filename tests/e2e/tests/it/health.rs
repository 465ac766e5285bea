//! Health checks, held by the shim.

use serde_json::Value;
use testkit::{Strake, isolated, wait_for};

use crate::inspect;

/// Well as long as `/well` is there.
const CHECK: [&str; 6] = ["--health-cmd", "cat /well", "--health-interval", "100ms", "--health-retries", "2"];

fn health(strake: &Strake, name: &str) -> Value {
    inspect(strake, name)["State"]["Health"].clone()
}

fn wait_for_status(strake: &Strake, name: &str, status: &str) {
    wait_for(status, || (health(strake, name)["Status"] == status).then_some(()));
}

fn checked(strake: &Strake, name: &str, options: &[&str], script: &str) {
    let run = ["run", "-d", "--name", name, "--network", "none"];
    strake.ok(&[&run[..], &CHECK[..], options, &["busybox", "sh", "-c", script]].concat());
}

#[test]
fn a_container_is_starting_healthy_and_unhealthy() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        checked(&strake, "app", &[], "sleep 0.3; echo fine > /well; exec sleep 3600");
        wait_for_status(&strake, "app", "healthy");
        assert!(strake.ok(&["ps", "--format", "{{.Status}}"]).ends_with("(healthy)"));
        let by_health = |value: &str| {
            strake.ok(&["ps", "--filter", &format!("health={value}"), "--format", "{{.Names}}"])
        };
        assert_eq!((by_health("healthy"), by_health("unhealthy")), ("app".to_owned(), String::new()));
        strake.ok(&["exec", "app", "rm", "/well"]);
        wait_for_status(&strake, "app", "unhealthy");
        assert!(strake.ok(&["ps", "--format", "{{.Status}}"]).ends_with("(unhealthy)"));
        let known = health(&strake, "app");
        assert!(known["FailingStreak"].as_i64().unwrap() >= 2, "{known}");
        let last = known["Log"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["ExitCode"], 1);
        assert!(last["Output"].as_str().unwrap().contains("/well"), "{last}");
        // Nobody but a policy acts on it.
        assert_eq!(inspect(&strake, "app")["State"]["Status"], "running");
        strake.ok(&["exec", "app", "touch", "/well"]);
        wait_for_status(&strake, "app", "healthy");
        wait_for("five results", || {
            (health(&strake, "app")["Log"].as_array().unwrap().len() == 5).then_some(())
        });
        assert_eq!(health(&strake, "app")["FailingStreak"], 0);
        strake.ok(&["stop", "-t", "0", "app"]);
        assert_eq!(health(&strake, "app")["Status"], "unhealthy", "docker's word for one that nobody checks");
        let why = strake.ok(&["why", "dead", "app"]);
        assert!(why.contains("health") && why.contains("last check"), "{why}");

        strake.ok(&["run", "-d", "--name", "plain", "--network", "none", "busybox", "sleep", "3600"]);
        assert_eq!(by_health("none"), "plain");
        assert_eq!(health(&strake, "plain"), Value::Null);
    });
}

#[test]
fn a_check_that_takes_too_long_is_a_failure_and_long_output_is_cut() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = |name: &str, options: &[&str]| {
            let all = [
                &["run", "-d", "--name", name, "--network", "none", "--health-interval", "50ms"],
                options,
                &["busybox", "sleep", "3600"],
            ];
            strake.ok(&all.concat());
            wait_for("a result", || {
                health(&strake, name)["Log"]
                    .as_array()
                    .filter(|log| !log.is_empty())
                    .map(|log| log[0].clone())
            })
        };
        let slow = run("slow", &["--health-cmd", "echo begun; exec sleep 60", "--health-timeout", "200ms"]);
        assert_eq!(slow["ExitCode"], -1);
        assert_eq!(slow["Output"], "Health check exceeded timeout (200ms): begun\n");
        let loud = run("loud", &["--health-cmd", "head -c 9000 /dev/zero | tr '\\0' x"]);
        let output = loud["Output"].as_str().unwrap();
        assert!(output.len() == 4099 && output.ends_with("x..."), "{} bytes", output.len());
        let missing = run("missing", &["--health-cmd", "/no/such/check"]);
        assert_eq!(missing["ExitCode"], 127);
    });
}

#[test]
fn failures_of_the_start_period_do_not_count() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        checked(
            &strake,
            "slow",
            &["--health-start-period", "1h", "--health-start-interval", "50ms"],
            "exec sleep 3600",
        );
        wait_for("five failures", || (health(&strake, "slow")["Log"].as_array()?.len() == 5).then_some(()));
        let known = health(&strake, "slow");
        assert_eq!((known["Status"].as_str(), known["FailingStreak"].as_i64()), (Some("starting"), Some(0)));
        assert!(strake.ok(&["ps", "--format", "{{.Status}}"]).ends_with("(health: starting)"));
    });
}

#[test]
fn an_unhealthy_one_is_started_again_under_on_unhealthy() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        checked(&strake, "app", &["--restart", "on-unhealthy", "--stop-timeout", "0"], "exec sleep 3600");
        wait_for("a restart", || (inspect(&strake, "app")["RestartCount"].as_i64() >= Some(1)).then_some(()));
        let why = strake.ok(&["why", "dead", "app"]);
        assert!(why.contains("failed health checks"), "{why}");
        strake.ok(&["stop", "-t", "0", "app"]);
        assert_eq!(inspect(&strake, "app")["State"]["Status"], "exited");
    });
}

#[test]
fn an_adopting_shim_goes_on_checking() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        checked(&strake, "app", &[], "touch /well; exec sleep 3600");
        wait_for_status(&strake, "app", "healthy");
        let id = inspect(&strake, "app")["Id"].as_str().unwrap().to_owned();
        let record = strake.state().join("containers").join(id).join("shim.json");
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        let shim = i32::try_from(record["shim_pid"].as_i64().unwrap()).unwrap();
        let shim = rustix::process::Pid::from_raw(shim).unwrap();
        rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
        assert_eq!(health(&strake, "app")["Status"], "healthy", "it was adopted, and is as it was");
        strake.ok(&["exec", "app", "rm", "/well"]);
        wait_for_status(&strake, "app", "unhealthy");
    });
}

#[test]
fn the_images_check_counts_unless_it_is_turned_off() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let tar = testkit::images::busybox_tar();
        let change = "HEALTHCHECK --interval=100ms --retries=1 CMD cat /well";
        strake.ok(&[
            "import",
            "--change",
            "CMD [\"sleep\", \"3600\"]",
            "--change",
            change,
            &tar.to_string_lossy(),
            "checked",
        ]);
        strake.ok(&["run", "-d", "--name", "on", "--network", "none", "checked"]);
        wait_for_status(&strake, "on", "unhealthy");
        let config = inspect(&strake, "on")["Config"]["Healthcheck"].clone();
        assert_eq!(config["Test"], serde_json::json!(["CMD-SHELL", "cat /well"]));
        strake.ok(&["run", "-d", "--name", "off", "--network", "none", "--no-healthcheck", "checked"]);
        assert_eq!(health(&strake, "off"), Value::Null);
        // The image's command, at times of the user's.
        strake.ok(&["run", "-d", "--name", "mixed", "--network", "none", "--health-retries", "9", "checked"]);
        let config = inspect(&strake, "mixed")["Config"]["Healthcheck"].clone();
        assert_eq!((config["Retries"].as_i64(), config["Interval"].as_i64()), (Some(9), Some(100_000_000)));
    });
}
