//! SIGKILL of our processes at any time: nothing is left, no end is without a record.

use std::fs;
use std::time::Duration;

use base::Classified;
use oci_runtime::Runtime;
use shim::{Adopted, Exit};
use testkit::isolated;

use crate::rig::{ID, Rig, is_running};

const CYCLES: u64 = 60;

/// Processes of ours in this namespace: shims, and inits that wait at their gates.
fn ours() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("strake-"))
            && is_running(*pid)
    })
    .collect()
}

/// What the engine does about a container whose shim may be dead.
fn recover(rig: &Rig) -> Option<Exit> {
    if let Ok(mut client) = shim::Client::connect(&rig.state_dir()) {
        match client.stop(9, Some(Duration::ZERO)) {
            Ok(exit) => return Some(exit),
            Err(error) => assert!(error.is_gone(), "{error}"),
        }
    }
    testkit::wait_for("the old shim's end", || (!shim::is_alive(&rig.state_dir())).then_some(()));
    match rig.adopt() {
        Ok(Adopted::Ended(exit)) => Some(exit),
        Ok(Adopted::Alive(mut client, _)) => Some(client.stop(9, Some(Duration::ZERO)).unwrap()),
        Err(error) => {
            // Killed before there was a container to speak of.
            assert_eq!(error.class(), base::ErrorClass::NotFound, "{error}");
            let runtime = Runtime::new(rig.dir.join("runtime"));
            runtime.delete(&base::ContainerId::parse(ID).unwrap(), true).unwrap();
            for name in ["shim.sock", ".shim.json.new", "stdin", "stdout", "stderr"] {
                let _ = fs::remove_file(rig.state_dir().join(name));
            }
            None
        }
    }
}

#[test]
fn a_random_kill_leaves_nothing_behind() {
    isolated(|| {
        let rig = Rig::shell("sleep 0.005; exit 3");
        let mut recorded = 0;
        for cycle in 0..CYCLES {
            let killer = std::thread::spawn(move || {
                let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: (cycle * 400_000) as _ };
                let _ = rustix::event::poll(&mut [], Some(&pause));
                let pids = ours();
                if !pids.is_empty() {
                    let victim = pids[(cycle as usize * 7919) % pids.len()];
                    let _ = sys::signal::kill(victim, sys::Signal::KILL);
                }
            });
            if let Ok((mut client, _)) = rig.launch() {
                let _ = client.start();
                let _ = client.wait();
            }
            killer.join().unwrap();
            if let Some(exit) = recover(&rig) {
                recorded += 1;
                assert!(matches!(exit.code, None | Some(3 | 137)), "cycle {cycle}: {exit:?}");
                assert_eq!(Exit::read(&rig.record_dir()).unwrap(), Some(exit), "cycle {cycle}");
            }
            rig.assert_clean();
            testkit::wait_for("all our processes' end", || ours().is_empty().then_some(()));
            // As a host's init would.
            while let Ok(Some(_)) = sys::process::try_wait_any() {}
        }
        // How many depends on how busy the machine is; none would prove nothing.
        assert!(recorded > 0, "no container came to life");
    });
}
