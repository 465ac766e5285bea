//! A container survives its shim, and a new one takes over.

use std::fs::File;
use std::io::Write;

use base::Classified;
use shim::{Adopted, ExitCause, Phase, StdinMode, StreamSet};
use testkit::isolated;

use crate::rig::{Rig, is_running, kill, kill_shim};

#[test]
fn log_signals_and_status_go_on() {
    isolated(|| {
        // Writes far more than a FIFO holds while no shim reads.
        let mut rig = Rig::shell(
            "echo first; until [ -e /go ]; do sleep 0.01; done; seq 1 30000; echo err >&2; read x; exit 21",
        );
        rig.stdin = StdinMode::Open;
        let (mut client, started) = rig.run();
        rig.wait_for_log("first\n");
        kill_shim(&rig, &started);
        assert!(client.wait().unwrap_err().is_gone());
        assert!(is_running(started.pid));
        std::fs::write(rig.dir.join("bundle/rootfs/go"), "").unwrap();
        let (mut client, again) = rig.adopt_alive();
        assert_eq!((again.pid, again.start_time), (started.pid, started.start_time));
        assert_ne!(again.shim_pid, started.shim_pid);
        let status = client.status().unwrap();
        assert!(status.adopted && status.phase == Phase::Running && status.started_at.is_some());
        rig.wait_for_log("30000\n");
        rig.wait_for_log("err\n");
        let attached = client.attach(StreamSet { stdin: true, ..StreamSet::default() }).unwrap();
        File::from(attached.stdin.unwrap()).write_all(b"\n").unwrap();
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.adopted, exit.cause), (Some(21), true, ExitCause::Itself));
        let entries = rig.log_entries().into_iter();
        let out: String =
            entries.filter(|e| e.stream == shim::LogStream::Stdout).map(|entry| entry.text).collect();
        let expected: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
        assert!(out == format!("first\n{expected}"), "every line, once, in order");
        rig.assert_clean();
    });
}

#[test]
fn a_shim_killed_in_the_midst_of_output_loses_one_read_at_most() {
    isolated(|| {
        let mut rig = Rig::shell(
            "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done
             until [ -e /go ]; do sleep 0.01; done; echo end; read x",
        );
        rig.stdin = StdinMode::Open;
        let (_, started) = rig.run();
        rig.wait_for_log("100\n");
        kill_shim(&rig, &started);
        std::fs::write(rig.dir.join("bundle/rootfs/go"), "").unwrap();
        let (mut client, _) = rig.adopt_alive();
        rig.wait_for_log("end\n");
        let mut numbers: Vec<u32> = rig.log_text().lines().filter_map(|line| line.parse().ok()).collect();
        numbers.push(3001);
        // What it had read and not yet written is gone: one gap, of what one read can hold.
        let gaps: Vec<u32> =
            numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
        assert!(gaps.len() <= 1, "{gaps:?}");
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
    });
}

#[test]
fn a_created_container_is_started_by_its_second_shim() {
    isolated(|| {
        let rig = Rig::shell("echo up; exit 5");
        let (mut client, started) = rig.launch().unwrap();
        kill_shim(&rig, &started);
        assert!(client.start().unwrap_err().is_gone());
        let (mut client, _) = rig.adopt_alive();
        assert_eq!(client.status().unwrap().phase, Phase::Created);
        client.start().unwrap();
        assert_eq!(client.wait().unwrap().code, Some(5));
        assert_eq!(rig.log_text(), "up\n");
        rig.assert_clean();
    });
}

#[test]
fn an_end_that_a_zombie_still_tells_is_recorded() {
    isolated(|| {
        // We are PID 1 here and inherit the container; while we do not reap it, it is a zombie.
        let rig = Rig::shell("sleep 0.3; exit 33");
        let (_, started) = rig.run();
        kill_shim(&rig, &started);
        testkit::wait_for("the end", || (!is_running(started.pid)).then_some(()));
        let (mut client, _) = rig.adopt_alive();
        assert_eq!(client.wait().unwrap().code, Some(33));
        rig.assert_clean();
    });
}

#[test]
fn a_status_comes_from_the_kernel_after_another_has_reaped() {
    isolated(|| {
        let rig = Rig::shell("sleep 0.5; exit 34");
        let (_, started) = rig.run();
        kill_shim(&rig, &started);
        let (client, _) = rig.adopt_alive();
        let waiter = client.waiter().unwrap();
        // PID 1 reaps its adopted child at once, as a host's init does.
        let pidfd = sys::pidfd::open(started.pid).unwrap();
        assert_eq!(sys::process::wait_pidfd(&pidfd).unwrap().code(), Some(34));
        assert_eq!(waiter.finish().unwrap().code, Some(34));
        rig.assert_clean();
    });
}

#[test]
fn an_end_that_nobody_saw_is_unknown_and_says_why() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (_, started) = rig.run();
        kill_shim(&rig, &started);
        kill(started.pid);
        let pidfd = sys::pidfd::open(started.pid).unwrap();
        sys::process::wait_pidfd(&pidfd).unwrap();
        let Adopted::Ended(exit) = rig.adopt().unwrap() else { panic!("lives") };
        assert_eq!(exit.code, None);
        let ExitCause::Unknown { why } = &exit.cause else { panic!("{exit:?}") };
        assert!(why.contains("shim was killed"), "{why}");
        assert_eq!(shim::Exit::read(&rig.record_dir()).unwrap(), Some(exit));
        rig.assert_clean();
    });
}

#[test]
fn a_living_shim_is_not_replaced() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        let refused = rig.adopt().unwrap_err();
        assert_eq!(refused.class(), base::ErrorClass::Conflict, "{refused}");
        client.kill(9).unwrap();
        let exit = client.wait().unwrap();
        rig.assert_clean();
        // An adoption that crosses with the shim's own end is told what that recorded.
        let Adopted::Ended(again) = rig.adopt().unwrap() else { panic!("lives") };
        assert_eq!(again, exit);
        std::fs::remove_file(rig.state_dir().join("shim.json")).unwrap();
        let nothing = rig.adopt().unwrap_err();
        assert_eq!(nothing.class(), base::ErrorClass::NotFound, "{nothing}");
    });
}

#[test]
fn a_stopped_grace_and_a_pause_survive() {
    isolated(|| {
        let rig = Rig::shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done");
        let (mut client, started) = rig.run();
        rig.wait_for_log("up\n");
        client.pause().unwrap();
        kill_shim(&rig, &started);
        let (mut client, _) = rig.adopt_alive();
        assert_eq!(client.status().unwrap().phase, Phase::Paused);
        assert_eq!(client.stop(15, None).unwrap().code, Some(0));
        rig.assert_clean();
    });
}
