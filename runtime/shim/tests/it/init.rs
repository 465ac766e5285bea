//! The tiny init inside a container.

use std::fs;
use std::time::Duration;

use testkit::isolated;

use crate::rig::Rig;

fn rig(command: &[&str]) -> Rig {
    let mut args = vec!["/init", "init", "--"];
    args.extend(command);
    let rig = Rig::new(&args);
    fs::copy(testkit::bin("strake-shim"), rig.dir.join("bundle/rootfs/init")).unwrap();
    rig
}

#[test]
fn statuses_are_the_commands() {
    isolated(|| {
        for (script, code) in [("exit 9", 9), ("kill -9 $$", 137)] {
            assert_eq!(rig(&["/bin/sh", "-c", script]).finish().code, Some(code), "{script}");
        }
        assert_eq!(rig(&["/nowhere"]).finish().code, Some(127));
        assert_eq!(rig(&["/etc/passwd"]).finish().code, Some(126));
    });
}

#[test]
fn orphans_are_reaped_and_signals_handed_on() {
    isolated(|| {
        let script =
            "(sleep 0.05 &); (sleep 0.05 &); trap 'exit 44' TERM; echo up; while :; do sleep 0.02; done";
        let rig = rig(&["/bin/sh", "-c", script]);
        let (mut client, _) = rig.run();
        rig.wait_for_log("up\n");
        let zombies = || {
            let pids =
                fs::read_to_string(rig.cgroup.dir("pids").join(crate::rig::ID).join("cgroup.procs")).unwrap();
            let stats = pids.lines().filter_map(|pid| sys::process::ProcStat::read(pid.parse().ok()?).ok());
            stats.filter(sys::process::ProcStat::is_zombie).count()
        };
        assert!(testkit::wait_until(Duration::from_secs(5), || zombies() == 0));
        let exit = client.stop(15, Some(Duration::from_secs(60))).unwrap();
        assert_eq!(exit.code, Some(44));
        assert!(!exit.pid1_no_sigterm_handler);
    });
}
