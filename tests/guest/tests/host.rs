//! What a guest means to its host.

// What a test cannot do fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use guest::Machine;
use testkit::{Strake, isolated, wait_for};

#[test]
fn its_status_comes_out() {
    let ended = Machine::new("uname -r; echo \"cgroups: $(cat /sys/fs/cgroup/cgroup.controllers)\"; exit 7")
        .boot(LIMIT, |_| {});
    assert_eq!(ended.status, Some(7), "{}", ended.console);
    assert!(ended.console.contains("cgroups: cpuset cpu io memory"), "{}", ended.console);
}

#[test]
fn se_11_a_kernel_panic_in_the_guest_leaves_the_host_running() {
    // Where there is a network.
    guest::kernel();
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";
        strake.ok(&["run", "-d", "--name", "other", "--network", "none", "busybox", "sh", "-c", count]);
        let state = || strake.ok(&["inspect", "--format", "{{.State.Pid}} {{.State.Status}}", "other"]);
        let before = state();
        let ended =
            Machine::new("echo ready; echo c >/proc/sysrq-trigger; echo survived").boot(LIMIT, |_| {});
        assert_eq!(ended.status, None, "{}", ended.console);
        assert!(ended.console.contains("ready"), "{}", ended.console);
        assert!(ended.console.contains("Kernel panic - not syncing"), "{}", ended.console);
        assert!(!ended.console.contains("survived"), "{}", ended.console);
        assert_eq!(state(), before, "the container beside it is the same process");
        let printed = strake.ok(&["logs", "other"]);
        wait_for("it goes on counting", || (strake.ok(&["logs", "other"]) != printed).then_some(()));
    });
}

/// A busy machine without KVM takes its time.
const LIMIT: Duration = Duration::from_secs(180);
