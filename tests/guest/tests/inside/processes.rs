//! Freezing, killing, and cgroups within cgroups.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::run;

use crate::container::{Container, wait_for};

#[test]
fn cg_08_a_paused_container_stands_still_on_v2() {
    let container = Container::new("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done");
    container.start();
    wait_for("it counts", || container.printed().contains('\n').then_some(()));
    container.runtime(&["pause", "c"]).ok();
    assert_eq!(container.count("cgroup.events", "frozen "), 1);
    assert_eq!(container.file("cgroup.freeze"), "1");
    let before = (container.printed(), container.count("cpu.stat", "usage_usec "));
    // The CPU goes to others meanwhile.
    for _ in 0..20 {
        run(&mut Command::new("true")).ok();
    }
    assert_eq!((container.printed(), container.count("cpu.stat", "usage_usec ")), before);
    let before = before.0;
    container.runtime(&["resume", "c"]).ok();
    assert_eq!(container.count("cgroup.events", "frozen "), 0);
    wait_for("it goes on", || (container.printed() != before).then_some(()));
}

#[test]
fn a_frozen_container_is_deleted_by_force_on_v2() {
    let container = Container::new("sleep 1000 & sleep 1000");
    container.start();
    container.runtime(&["pause", "c"]).ok();
    container.runtime(&["delete", "--force", "c"]).ok();
    assert!(!container.cgroup().exists());
}

#[test]
fn kill_all_reaches_what_init_left_behind_on_v2() {
    let container =
        Container::new("setsid sleep 1000 & setsid sh -c 'while :; do sleep 1 & done' & sleep 1000")
            .limited("pids", json!({ "limit": 50 }))
            .with(|spec| {
                spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "pid");
            });
    container.start();
    wait_for("it forks", || (container.file("pids.current").parse::<u32>().unwrap() > 5).then_some(()));
    container.runtime(&["kill", "--all", "c", "KILL"]).ok();
    wait_for("none is left", || (container.count("cgroup.events", "populated ") == 0).then_some(()));
    container.runtime(&["delete", "c"]).ok();
    assert!(!container.cgroup().exists());
}

#[test]
fn all_controllers_are_given_on_the_way() {
    let container = Container::new("sleep 1000")
        .with(|spec| {
            let path = spec["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
            spec["linux"]["cgroupsPath"] = json!(format!("{path}/a/b"));
        })
        .limited("pids", json!({ "limit": 7 }));
    container.start();
    let inner = container.cgroup().join("a/b");
    let read = |path: &str| fs::read_to_string(inner.join(path)).unwrap().trim().to_owned();
    assert_eq!(read("pids.max"), "7");
    let root = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    assert_eq!(read("cgroup.controllers"), root.trim());
    assert_eq!(read("cgroup.subtree_control"), "", "processes are in it");
    container.runtime(&["delete", "--force", "c"]).ok();
    assert!(!inner.exists());
}

#[test]
fn a_container_divides_its_own_cgroup() {
    let script = "cd /sys/fs/cgroup && mkdir inner below && echo $$ > inner/cgroup.procs && \
                  echo '+memory +pids' > cgroup.subtree_control && echo 16777216 > below/memory.max && \
                  cat /proc/self/cgroup below/memory.max && ! echo 1 > memory.max";
    let container = Container::new(script)
        .limited("memory", json!({ "limit": 33_554_432 }))
        .mount(json!({ "destination": "/sys", "type": "tmpfs", "source": "tmpfs" }))
        .mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] }));
    let said = container.run();
    assert_eq!(said.ok(), "0::/inner\n16777216", "its own limit is not its to change: {}", said.stderr);
}
