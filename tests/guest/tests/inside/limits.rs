//! Memory, CPU and process limits.

use serde_json::json;

use crate::container::{Container, wait_for};

/// More memory than any limit here: `tail` keeps all of a line that never ends.
const EAT: &str = "tail -c 200m /dev/zero >/dev/null";

#[test]
fn cg_01_memory_limit_is_set_on_v2() {
    let container = Container::new("sleep 1000")
        .limited("memory", json!({ "limit": 134_217_728, "swap": 201_326_592, "reservation": 67_108_864 }));
    container.start();
    assert_eq!(container.file("memory.max"), "134217728");
    assert_eq!(container.file("memory.low"), "67108864");
    assert_eq!(container.file("memory.swap.max"), "67108864", "swap alone, not both together");
}

#[test]
fn cg_02_over_the_limit_the_kernel_kills_on_v2() {
    let container = Container::new(&format!("exec {EAT}")).limited("memory", json!({ "limit": 33_554_432 }));
    container.run().exits(137);
}

#[test]
fn cg_16_one_process_or_the_whole_group_is_killed() {
    let script = format!("{EAT}; echo survived $?; sleep 1000");
    let alone = Container::new(&script)
        .limited("memory", json!({ "limit": 33_554_432 }))
        .limited("unified", json!({ "memory.oom.group": "0" }));
    alone.start();
    wait_for("the shell outlives its child", || alone.printed().contains("survived 137").then_some(()));
    assert_eq!(alone.count("memory.events", "oom_kill "), 1);
    assert_eq!(alone.count("memory.events", "oom_group_kill "), 0);

    let script = format!("{EAT}; echo survived");
    let together = Container::new(&script)
        .limited("memory", json!({ "limit": 33_554_432 }))
        .limited("unified", json!({ "memory.oom.group": "1" }));
    let ended = together.run();
    assert_eq!(ended.exits(137).stdout, "");
}

#[test]
fn memory_high_holds_back_without_killing() {
    let container =
        Container::new("dd if=/dev/zero of=/root/file bs=1M count=48 2>/dev/null; echo done; sleep 1000")
            .limited("unified", json!({ "memory.high": "16777216" }));
    container.start();
    assert_eq!(container.file("memory.high"), "16777216");
    wait_for("the writer's end", || container.printed().contains("done").then_some(()));
    assert!(container.count("memory.events", "high ") > 0);
    assert_eq!(container.count("memory.events", "oom_kill "), 0);
    assert!(
        container.file("memory.current").parse::<u64>().unwrap() < 24 << 20,
        "{}",
        container.file("memory.current")
    );
}

#[test]
fn cg_05_half_a_cpu_gets_half_a_cpu_on_v2() {
    let container =
        Container::new("while :; do :; done").limited("cpu", json!({ "quota": 50_000, "period": 100_000 }));
    container.start();
    assert_eq!(container.file("cpu.max"), "50000 100000");
    // The kernel's own account: in no period more than its share, and held back in most.
    let count = |key: &str| container.count("cpu.stat", key);
    wait_for("it is held back", || (count("nr_throttled ") >= 20).then_some(()));
    let (used, periods) = (count("usage_usec "), count("nr_periods "));
    // The periods are counted after the use, and a slice may be used up beyond its end.
    assert!(used <= (periods + 1) * 53_000, "used {used} µs in {periods} periods of 100 ms");
    assert!(count("throttled_usec ") > 0);
}

#[test]
fn cg_06_weights_split_a_contended_cpu_on_v2() {
    let spinner = |weight: &str| {
        Container::new("while :; do :; done")
            .limited("unified", json!({ "cpu.weight": weight }))
            .limited("cpu", json!({ "cpus": "0" }))
    };
    let two = spinner("200");
    let one = spinner("100").beside(&two);
    two.start();
    one.start();
    assert_eq!((two.file("cpu.weight"), one.file("cpuset.cpus")), ("200".to_owned(), "0".to_owned()));
    let used = || {
        let used = |container: &Container| container.count("cpu.stat", "usage_usec ");
        (used(&two), used(&one))
    };
    let before = used();
    let after = wait_for("a second of CPU for the lighter one", || {
        let now = used();
        (now.1 - before.1 > 1_000_000).then_some(now)
    });
    let ratio = (after.0 - before.0) as f64 / (after.1 - before.1) as f64;
    assert!((1.7..=2.3).contains(&ratio), "{ratio}");
}

#[test]
fn cg_10_the_number_of_processes_is_limited_on_v2() {
    let script = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo all; sleep 1000";
    let container = Container::new(script).limited("pids", json!({ "limit": 8 }));
    container.start();
    assert_eq!(container.file("pids.max"), "8");
    wait_for("the limit is hit", || (container.count("pids.events", "max ") > 0).then_some(()));
    assert!(container.file("pids.current").parse::<u32>().unwrap() <= 8);
    assert!(!container.printed().contains("all"));
}
