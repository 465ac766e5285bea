//! Freezing, killing, counting.

use std::time::Duration;

use cgroup::FreezerState;
use testkit::{wait_for, wait_until};

use crate::Fixture;

#[test]
fn cg_08_frozen_processes_stand_still() {
    let fixture = Fixture::new("freeze");
    let mut spinner = fixture.sh("while :; do :; done");
    let usage = || fixture.cgroup.stats().cpu.usage_ns.unwrap();
    assert_eq!(fixture.cgroup.freezer_state().unwrap(), FreezerState::Thawed);
    fixture.cgroup.freeze().unwrap();
    assert_eq!(fixture.cgroup.freezer_state().unwrap(), FreezerState::Frozen);
    let still = usage();
    assert!(!wait_until(Duration::from_millis(150), || usage() != still), "it went on");
    fixture.cgroup.thaw().unwrap();
    wait_for("it to go on", || (usage() > still).then_some(()));
    spinner.kill().unwrap();
    spinner.wait().unwrap();
}

#[test]
fn kill_reaches_children_frozen_ones_and_forkers() {
    let fixture = Fixture::new("kill");
    fixture.apply(r#"{"pids":{"limit":60}}"#);
    let mut forker = fixture.sh("while :; do (sleep 60 &) ; done");
    wait_for("the limit", || fixture.cgroup.stats().pids.limit_hits.filter(|hits| *hits > 0));
    fixture.cgroup.freeze().unwrap();
    fixture.cgroup.kill_all().unwrap();
    forker.wait().unwrap();
    fixture.cgroup.remove().unwrap();
    assert!(!fixture.cgroup.exists());
}

#[test]
fn processes_below_count_too() {
    let fixture = Fixture::new("below");
    let below = crate::create(&fixture.subtree, "web/below", &fixture.layout);
    let mut child = crate::start_in(&below, "read stop");
    let pid = i32::try_from(child.id()).unwrap();
    assert_eq!(fixture.cgroup.pids().unwrap(), [pid]);
    fixture.cgroup.kill_all().unwrap();
    child.wait().unwrap();
    assert!(fixture.cgroup.pids().unwrap().is_empty());
}

#[test]
fn a_process_is_in_every_hierarchy() {
    let fixture = Fixture::new("join");
    let mut child = fixture.sh("read stop");
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let own = format!("{}/web", fixture.subtree.path());
    for line in text.lines() {
        assert!(line.ends_with(&own), "{line}");
    }
    assert_eq!(text.lines().count(), fixture.cgroup.dirs().count());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn joining_says_that_the_process_has_ended() {
    let fixture = Fixture::new("ended");
    let mut child = fixture.sh("exit");
    child.wait().unwrap();
    let error = fixture.cgroup.join(i32::try_from(child.id()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the process has ended"), "{error}");
}

#[test]
fn a_thread_moves_itself() {
    let fixture = Fixture::new("enter");
    let entrance = fixture.cgroup.entrance().unwrap();
    let own = format!("{}/web", fixture.subtree.path());
    let text = std::thread::spawn(move || {
        entrance.enter().unwrap();
        std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
    })
    .join()
    .unwrap();
    // v2 is entered at birth.
    for line in text.lines().filter(|line| !line.starts_with("0::")) {
        assert!(line.ends_with(&own), "{line}");
    }
}
