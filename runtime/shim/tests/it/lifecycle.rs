//! From created to gone: statuses, causes, records, waiters, cleanup.

use std::fs;
use std::time::Duration;

use base::Classified;
use shim::{Client, Exit, ExitCause, Phase};
use testkit::{isolated, wait_until};

use crate::rig::{Rig, is_running, kill, kill_shim};

#[test]
fn rt_01_init_waits_at_its_gate_and_its_parent_is_the_shim() {
    isolated(|| {
        let rig = Rig::shell("exit 7");
        let (mut client, started) = rig.launch().unwrap();
        let status = client.status().unwrap();
        assert_eq!((status.phase, status.pid), (Phase::Created, started.pid));
        let stat = sys::process::ProcStat::read(started.pid).unwrap();
        assert_eq!((stat.ppid, stat.start_time), (started.shim_pid, started.start_time));
        client.start().unwrap();
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.signal, &exit.cause), (Some(7), None, &ExitCause::Itself));
        assert!(exit.started_at.is_some_and(|at| at <= exit.at));
        assert_eq!(Exit::read(&rig.record_dir()).unwrap(), Some(exit));
        rig.assert_clean();
    });
}

#[test]
fn a_detached_root_and_a_sealed_program_leave_nothing_in_the_hosts_mounts() {
    isolated(|| {
        let mut rig = Rig::shell("cat /proc/self/mountinfo | grep -c ' / / '; ls /bin/busybox; sleep 1000");
        rig.config["root"]["path"] = "elsewhere".into();
        rig.sealed = true;
        let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let (mut client, started) = rig.run();
        rig.wait_for_log("/bin/busybox\n");
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        let shim = fs::read_link(format!("/proc/{}/exe", started.shim_pid)).unwrap();
        assert_ne!(shim, testkit::bin("strake-shim"), "not the file that could be overwritten");
        kill_shim(&rig, &started);
        let (mut again, _) = rig.adopt_alive();
        again.kill(9).unwrap();
        assert_eq!(again.wait().unwrap().code, Some(137));
        assert!(client.status().is_err_and(|error| error.is_gone()));
        rig.assert_clean();
    });
}

#[test]
fn a_signal_is_128_and_its_number() {
    isolated(|| {
        for (signal, code) in [(11, 139), (6, 134)] {
            // Not PID 1 itself, which gets no signal that it has no handler for.
            let rig = Rig::shell(&format!("sh -c 'kill -{signal} $$'; exit $?"));
            let exit = rig.finish();
            assert_eq!((exit.code, exit.cause), (Some(code), ExitCause::Itself));
        }
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        client.kill(9).unwrap();
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.signal), (Some(137), Some(9)));
        let ExitCause::Killed { signal: 9, by: Some(by) } = exit.cause else { panic!("{:?}", exit.cause) };
        assert_eq!((by.pid, by.uid), (1, 0));
    });
}

#[test]
fn a_kill_from_outside_is_told_apart() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, started) = rig.run();
        kill(started.pid);
        assert_eq!(client.wait().unwrap().cause, ExitCause::Outside { signal: 9 });
    });
}

#[test]
fn an_init_that_is_killed_at_its_gate_says_so() {
    isolated(|| {
        let rig = Rig::shell("true");
        let (mut client, started) = rig.launch().unwrap();
        kill(started.pid);
        let _ = client.start(); // may come before or after the end is seen
        let exit = rig.wait_for_record();
        assert_eq!((exit.code, exit.cause), (Some(137), ExitCause::Outside { signal: 9 }));
        rig.assert_clean();
    });
}

#[test]
fn a_missing_command_is_127_and_one_that_cannot_run_is_126() {
    isolated(|| {
        for (command, code, text) in [("nowhere", 127, "nowhere"), ("/etc/passwd", 126, "/etc/passwd")] {
            let rig = Rig::new(&[command]);
            let launched = rig.launch();
            let (exit_code, message) = match launched {
                Err(error) => (error.exit_code(), error.to_string()),
                Ok((mut client, _)) => {
                    let error = client.start().unwrap_err();
                    let recorded = rig.wait_for_record();
                    assert_eq!(recorded.code, Some(code));
                    assert!(matches!(recorded.cause, ExitCause::NotExecuted { .. }), "{recorded:?}");
                    (error.exit_code().unwrap(), error.to_string())
                }
            };
            assert_eq!(i32::from(exit_code), code, "{message}");
            assert!(message.contains(text), "{message}");
            rig.assert_clean();
        }
    });
}

#[test]
fn a_bundle_without_configuration_is_125_and_says_which() {
    isolated(|| {
        let mut rig = Rig::shell("true");
        rig.config = serde_json::json!("no configuration");
        let error = rig.launch().unwrap_err();
        assert_eq!(error.exit_code(), 125);
        assert!(error.to_string().contains("bundle/config.json"), "{error}");
        rig.assert_clean();
    });
}

#[test]
fn many_waiters_are_all_told() {
    isolated(|| {
        let mut rig = Rig::shell("read line; exit 5");
        rig.stdin = shim::StdinMode::Open;
        let (mut client, _) = rig.run();
        let waiters: Vec<_> = (0..100).map(|_| rig.connect().waiter().unwrap()).collect();
        let attached = client.attach(shim::StreamSet { stdin: true, ..Default::default() }).unwrap();
        rustix_write(&attached.stdin.unwrap(), b"go\n");
        for waiter in waiters {
            assert_eq!(waiter.finish().unwrap().code, Some(5));
        }
        rig.assert_clean();
    });
}

#[test]
fn what_is_done_twice_is_a_conflict() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        assert_eq!(client.start().unwrap_err().class(), base::ErrorClass::Conflict);
        assert_eq!(client.resume().unwrap_err().class(), base::ErrorClass::Conflict);
        let second = rig.launch().unwrap_err();
        assert_eq!(second.class(), base::ErrorClass::Conflict, "{second}");
        assert!(second.to_string().contains("shim lives"), "{second}");
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn the_exit_command_runs_unless_a_client_cleans_up() {
    isolated(|| {
        let mut rig = Rig::shell("exit 3");
        let mark = rig.dir.join("mark");
        rig.exit_command = vec!["/bin/busybox".into(), "touch".into(), mark.display().to_string()];
        rig.finish();
        assert!(wait_until(Duration::from_secs(10), || mark.exists()), "ran");
        fs::remove_file(&mark).unwrap();

        let (mut client, _) = rig.launch().unwrap();
        client.hold_cleanup().unwrap();
        client.start().unwrap();
        assert_eq!(client.wait().unwrap().code, Some(3));
        assert!(shim::is_alive(&rig.state_dir()), "waits for its holder");
        client.cleaned_up().unwrap();
        rig.assert_clean();
        assert!(!mark.exists(), "the holder did it");

        let (mut client, _) = rig.launch().unwrap();
        client.hold_cleanup().unwrap();
        client.start().unwrap();
        client.wait().unwrap();
        drop(client);
        assert!(wait_until(Duration::from_secs(10), || mark.exists()), "the holder died");
    });
}

#[test]
fn a_created_container_can_be_ended() {
    isolated(|| {
        let rig = Rig::shell("true");
        let (mut client, started) = rig.launch().unwrap();
        let exit = client.stop(15, Some(Duration::from_secs(60))).unwrap();
        assert_eq!(exit.code, Some(137));
        assert_eq!(exit.started_at, None);
        assert!(!is_running(started.pid));
        rig.assert_clean();
    });
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    isolated(|| {
        let rig = Rig::shell("while :; do echo x; sleep 0.01; done");
        let (mut client, _) = rig.run();
        rig.wait_for_log("x\n");
        client.pause().unwrap();
        assert_eq!(client.status().unwrap().phase, Phase::Paused);
        client.resume().unwrap();
        client.pause().unwrap();
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
        rig.assert_clean();
    });
}

#[test]
fn a_process_that_outlives_init_in_the_hosts_pid_namespace_is_ended() {
    isolated(|| {
        let mut rig = Rig::shell("setsid sleep 1000 & echo $!; exit 0");
        let namespaces = rig.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        assert_eq!(rig.finish().code, Some(0));
        let pid: i32 = rig.log_text().trim().parse().unwrap();
        assert!(wait_until(Duration::from_secs(5), || !is_running(pid)), "sleep lives on");
        rig.assert_clean();
    });
}

#[test]
fn the_command_starts_with_default_signals_and_no_open_descriptors() {
    isolated(|| {
        let rig = Rig::shell("grep Sig /proc/self/status; ls /proc/self/fd");
        rig.finish();
        let text = rig.log_text();
        for field in ["SigBlk:\t", "SigIgn:\t"] {
            let hex = text.split(field).nth(1).and_then(|rest| rest.lines().next()).unwrap();
            // glibc's posix_spawn(3) leaves its own two signals (32, 33) ignored.
            let mask = u64::from_str_radix(hex, 16).unwrap() & !(3 << 31);
            assert_eq!(mask, 0, "{text}");
        }
        // ls opens one itself.
        assert!(text.ends_with("0\n1\n2\n3\n"), "{text}");
    });
}

#[test]
fn a_connection_that_outlives_the_container_ends() {
    isolated(|| {
        let rig = Rig::shell("exit 0");
        let (mut client, _) = rig.launch().unwrap();
        let mut idle = rig.connect();
        client.start().unwrap();
        client.wait().unwrap();
        rig.assert_clean();
        assert!(wait_until(Duration::from_secs(5), || idle.status().is_err_and(|e| e.is_gone())));
        assert!(Client::connect(&rig.state_dir()).is_err_and(|e| e.is_gone()));
    });
}

fn rustix_write(fd: &std::os::fd::OwnedFd, bytes: &[u8]) {
    use std::io::Write;
    fs::File::from(fd.try_clone().unwrap()).write_all(bytes).unwrap();
}

#[test]
fn a_late_end_leaves_the_next_run_alone() {
    isolated(|| {
        let rig = Rig::shell("true");
        let (mut client, _) = rig.launch().unwrap();
        client.hold_cleanup().unwrap();
        client.start().unwrap();
        client.wait().unwrap();
        // The engine knows of the end and begins anew, at the same place.
        let dir = rig.state_dir();
        fs::rename(&dir, rig.dir.join("former")).unwrap();
        fs::create_dir(&dir).unwrap();
        for name in ["stdout", "stderr", "shim.sock"] {
            fs::write(dir.join(name), "").unwrap();
        }
        client.cleaned_up().unwrap();
        assert!(wait_until(Duration::from_secs(10), || !shim::is_alive(&rig.dir.join("former"))));
        for name in ["stdout", "stderr", "shim.sock"] {
            assert!(dir.join(name).exists(), "{name}");
        }
    });
}
