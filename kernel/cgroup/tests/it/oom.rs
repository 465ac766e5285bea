//! Running out of memory, and being told.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testkit::wait_for;

use crate::Fixture;

#[test]
fn cg_02_cg_03_cg_04_the_kill_is_told_with_its_victim() {
    let fixture = Fixture::new("oom");
    fixture.apply(r#"{"memory":{"limit":33554432,"swap":33554432}}"#);
    let mut watch = fixture.cgroup.watch_oom().unwrap();
    assert_eq!(watch.events().kills, 0);
    // One line without end, kept in memory.
    let mut hog = fixture.sh("exec tail /dev/zero");
    let pid = i32::try_from(hog.id()).unwrap();
    let timeout = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap();
    assert_eq!(ready, 1, "no event");
    assert_eq!(hog.wait().unwrap().signal(), Some(9));
    let mut kills = 0;
    wait_for("the counter", || {
        kills += watch.events().kills;
        (kills > 0).then_some(())
    });
    assert_eq!((kills, watch.kills()), (1, Some(1)));

    let memory = fixture.cgroup.stats().memory;
    assert_eq!((memory.oom_kills, memory.limit_bytes), (Some(1), Some(32 << 20)));
    assert!(memory.peak_bytes >= Some(31 << 20), "{memory:?}");
    let victims = fixture.cgroup.victims();
    let victim = victims.iter().find(|victim| victim.pid == pid).expect("the log names the victim");
    assert_eq!((victim.name.as_str(), victim.uid), ("tail", 0));
    assert_eq!(victim.limit_of.as_deref(), Some(victim.cgroup.as_str()));
    let held = (victim.anon_bytes.unwrap(), victim.file_bytes.unwrap());
    assert!(held.0 > 16 << 20 && Some(held.0 + held.1) <= victim.usage_bytes, "{victim:?}");
    assert!(victim.cgroup.ends_with(fixture.cgroup.path()), "{victim:?}");

    fixture.cgroup.remove().unwrap();
    assert!(watch.events().gone);
}

#[test]
fn cg_03_a_child_can_be_the_victim() {
    let fixture = Fixture::new("oomchild");
    fixture.apply(r#"{"memory":{"limit":33554432,"swap":33554432}}"#);
    let mut parent = fixture.sh("tail /dev/zero; exit 7");
    assert_eq!(parent.wait().unwrap().code(), Some(7), "the first process lives on");
    assert_eq!(fixture.cgroup.stats().memory.oom_kills, Some(1));
    assert!(fixture.cgroup.victims().iter().all(|victim| victim.pid != i32::try_from(parent.id()).unwrap()));
}
