//! Stopping with a grace time.

use std::time::{Duration, Instant};

use shim::ExitCause;
use testkit::isolated;

use crate::rig::Rig;

#[test]
fn a_handler_ends_it_in_time() {
    isolated(|| {
        let rig = Rig::shell("trap 'exit 12' TERM; echo up; while :; do sleep 0.02; done");
        let (mut client, _) = rig.run();
        rig.wait_for_log("up\n");
        let exit = client.stop(15, Some(Duration::from_secs(60))).unwrap();
        assert_eq!(exit.code, Some(12));
        assert!(matches!(exit.cause, ExitCause::Stop { signal: 15, by: Some(_) }), "{exit:?}");
        assert!(!exit.pid1_no_sigterm_handler);
    });
}

#[test]
fn without_a_handler_the_grace_runs_out_and_that_is_said() {
    isolated(|| {
        let rig = Rig::shell("echo up; sleep 1000; true");
        let (mut client, _) = rig.run();
        rig.wait_for_log("up\n");
        let begun = Instant::now();
        let exit = client.stop(15, Some(Duration::from_millis(300))).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert_eq!((exit.code, exit.signal), (Some(137), Some(9)));
        assert!(matches!(exit.cause, ExitCause::GraceRanOut { signal: 15, grace_ms: 300, .. }), "{exit:?}");
        assert!(exit.pid1_no_sigterm_handler);
        rig.assert_clean();
    });
}

#[test]
fn a_second_stop_shortens_the_grace() {
    isolated(|| {
        let rig = Rig::shell("echo up; sleep 1000; true");
        let (client, _) = rig.run();
        rig.wait_for_log("up\n");
        let patient = std::thread::spawn({
            let mut client = client;
            move || client.stop(15, Some(Duration::from_secs(3600))).unwrap()
        });
        let exit = rig.connect().stop(15, Some(Duration::ZERO)).unwrap();
        assert_eq!(exit.code, Some(137));
        // Whichever stop came last, both clients get the same answer.
        assert_eq!(patient.join().unwrap(), exit);
    });
}

#[test]
fn a_paused_container_is_stopped_too() {
    isolated(|| {
        let rig = Rig::shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done");
        let (mut client, _) = rig.run();
        rig.wait_for_log("up\n");
        client.pause().unwrap();
        assert_eq!(client.stop(15, Some(Duration::from_secs(60))).unwrap().code, Some(0));
    });
}
