//! Control groups as a user of the engine has them, on v2 alone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::{Strake, run};

use crate::container::wait_for;
use crate::io::disk;

/// Takes all the memory it can get: `tail` keeps all of a line that never ends.
const EAT: &str = "tail -c 300m /dev/zero >/dev/null";
/// What no process holds, and counts as file.
const SHARE: &str = "dd if=/dev/zero of=/dev/shm/kept bs=1M count=8 2>/dev/null";
/// Enough for the figures to tell apart, on a machine of half a gigabyte.
const LIMIT: u64 = 48 << 20;

fn host() -> Strake {
    Strake::new().with_busybox()
}

/// Runs `script` in the background.
fn start(strake: &Strake, name: &str, options: &[&str], script: &str) {
    let head = ["run", "-d", "--name", name, "--network", "none"];
    strake.ok(&[&head[..], options, &["busybox", "sh", "-c", script]].concat());
}

fn inspect(strake: &Strake, container: &str) -> Value {
    let all: Value = serde_json::from_str(&strake.ok(&["inspect", container])).unwrap();
    all[0].clone()
}

/// The container's own directory in the one tree.
fn cgroup(strake: &Strake, container: &str) -> PathBuf {
    strake.cgroup().dir("unified").join(inspect(strake, container)["Id"].as_str().unwrap())
}

fn file(strake: &Strake, container: &str, name: &str) -> String {
    let path = cgroup(strake, container).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim().to_owned()
}

/// The number behind `key` in a file with `key value` lines.
fn count(strake: &Strake, container: &str, name: &str, key: &str) -> u64 {
    let text = file(strake, container, name);
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {key} in {name}:\n{text}"))
}

/// The line that `explain` has for a name.
fn explained(strake: &Strake, container: &str, name: &str) -> String {
    let text = strake.ok(&["explain", container]);
    let section = text.lines().skip_while(|line| !line.starts_with("Control groups")).skip(1);
    let line = section.map(str::trim_start).find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_owned()
}

#[test]
fn cg_11_the_one_tree_is_found_and_told() {
    let strake = Strake::new();
    let said = strake.run(&["check"]).stdout;
    let line = said.lines().find(|line| line.split_whitespace().nth(1) == Some("cgroup"));
    assert_eq!(line.and_then(|line| line.split_whitespace().nth(2)), Some("v2"), "{said}");
}

#[test]
fn cg_01_cg_05_cg_10_limits_of_the_engine_are_set_and_readable_on_v2() {
    let strake = host();
    let limits = [
        "-m",
        "128m",
        "--memory-reservation",
        "64m",
        "--memory-swap",
        "192m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "20",
        "--cpuset-cpus",
        "0",
        "--cgroup-conf",
        "memory.high=100000000",
    ];
    start(&strake, "limited", &limits, "sleep 1000");
    for (name, value) in [
        ("memory.max", "134217728"),
        ("memory.low", "67108864"),
        ("memory.high", "99999744"),
        ("memory.swap.max", "67108864"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "20"),
        ("cpuset.cpus", "0"),
    ] {
        assert_eq!(file(&strake, "limited", name), value, "{name}");
    }
    assert_eq!(inspect(&strake, "limited")["HostConfig"]["Memory"], 134_217_728);
    for (name, value, file) in [
        ("memory limit", "128MiB", "memory.max"),
        ("CPU limit", "0.5", "cpu.max"),
        ("PIDs limit", "20", "pids.max"),
    ] {
        let line = explained(&strake, "limited", name);
        assert!(line.contains(value) && line.contains(file), "{line}");
    }
}

#[test]
fn cg_01_limits_are_changed_while_it_runs_on_v2() {
    let strake = host();
    start(&strake, "changed", &["-m", "128m", "--pids-limit", "20"], "sleep 1000");
    strake.ok(&[
        "update",
        "-m",
        "64m",
        "--memory-swap",
        "96m",
        "--cpus",
        "0.25",
        "--pids-limit",
        "7",
        "changed",
    ]);
    for (name, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("cpu.max", "25000 100000"),
        ("pids.max", "7"),
    ] {
        assert_eq!(file(&strake, "changed", name), value, "{name}");
    }
    assert_eq!(inspect(&strake, "changed")["HostConfig"]["Memory"], 67_108_864);
    assert!(explained(&strake, "changed", "memory limit").contains("64MiB"));
}

#[test]
fn cg_02_over_the_limit_is_137_and_said_so_on_v2() {
    let strake = host();
    let options = ["run", "--name", "eater", "--network", "none", "-m", "48m"];
    strake.run(&[&options[..], &["busybox", "tail", "-c", "300m", "/dev/zero"]].concat()).exits(137);
    let state = inspect(&strake, "eater")["State"].clone();
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&true.into(), &137.into()), "{state}");
    let why = strake.ok(&["why", "dead", "eater"]);
    for said in
        ["the OOM killer ended it at its limit of 48MiB", "victim", "tail (PID ", "memory peak", "MiB anon, "]
    {
        assert!(why.contains(said), "{said:?} is not in {why}");
    }
}

/// What `inspect` says of the one kill in a container with the limit, 8 MiB of which are no process's.
fn is_told_in_full(inspected: &Value) {
    let kills = inspected["State"]["OOMKills"].as_array().unwrap();
    let [kill] = kills.as_slice() else { panic!("{kills:?}") };
    let told = (&kill["Command"], &kill["OomScoreAdj"], &kill["Limit"], &kill["WholeGroup"]);
    assert_eq!(told, (&"tail".into(), &0.into(), &LIMIT.into(), &false.into()));
    let held = |key: &str| kill[key].as_u64().unwrap_or_else(|| panic!("{kill}"));
    assert!(held("Anon") > LIMIT / 2 && held("File") >= 8 << 20, "{kill}");
    assert!(held("Anon") + held("File") <= held("Usage") && held("Usage") <= LIMIT, "{kill}");
    assert!(held("Pid") > 1 && kill["Pid"] != inspected["State"]["Pid"], "{kill}");
}

#[test]
fn cg_03_the_victim_is_named_also_when_it_is_a_child_on_v2() {
    let strake = host();
    let script = format!("{SHARE} && {EAT}; echo survived");
    let options = ["run", "--name", "parent", "--network", "none", "-m", "48m"];
    let said = strake.run(&[&options[..], &["busybox", "sh", "-c", &script]].concat());
    assert_eq!(said.exits(0).stdout.trim(), "survived");
    let why = strake.ok(&["why", "dead", "parent"]);
    let line = why.lines().find(|line| line.contains("OOM kill ")).unwrap_or_else(|| panic!("{why}"));
    for said in ["tail (PID ", "oom_score_adj 0", "held (", "MiB anon, 8", "MiB file)", "limit 48MiB"] {
        assert!(line.contains(said), "{said:?} is not in {line}");
    }
    is_told_in_full(&inspect(&strake, "parent"));
}

#[test]
fn cg_04_an_oom_is_told_at_once_while_the_container_lives_on_v2() {
    let strake = host();
    start(&strake, "alive", &["-m", "48m"], &format!("{SHARE} && {EAT}; echo survived; sleep 1000"));
    let told = || strake.ok(&["events", "--since", "10m", "--until", "0s", "-f", "event=oom"]);
    wait_for("the event", || told().contains("container oom").then_some(()));
    assert!(told().contains("process=tail"), "{}", told());
    assert_eq!(count(&strake, "alive", "memory.events", "oom_kill"), 1);
    is_told_in_full(&inspect(&strake, "alive"));
    let line = explained(&strake, "alive", "OOM kills");
    assert!(line.contains('1') && line.contains("memory.events"), "{line}");
    assert!(explained(&strake, "alive", "last OOM").contains("tail"));
    assert_eq!(inspect(&strake, "alive")["State"]["Running"], true);
}

#[test]
fn cg_04_a_limit_that_is_met_is_no_oom_on_v2() {
    let strake = host();
    // Page cache beyond the limit: it is met again and again, and caches are dropped.
    let script = "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; echo done; sleep 1000";
    start(&strake, "meets", &["-m", "24m"], script);
    wait_for("the writer's end", || (strake.ok(&["logs", "meets"]) == "done").then_some(()));
    assert!(count(&strake, "meets", "memory.events", "max") > 0);
    assert_eq!(count(&strake, "meets", "memory.events", "oom_kill"), 0);
    assert_eq!(strake.ok(&["events", "--since", "10m", "--until", "0s", "-f", "event=oom"]), "");
    assert!(explained(&strake, "meets", "limit met").contains("times"));
}

#[test]
fn cg_16_the_whole_container_goes_where_that_is_asked_for() {
    let strake = host();
    let options = [
        "run",
        "--name",
        "together",
        "--network",
        "none",
        "-m",
        "48m",
        "--cgroup-conf",
        "memory.oom.group=1",
    ];
    let script = format!("sleep 1000 & {EAT}; echo survived");
    let said = strake.run(&[&options[..], &["busybox", "sh", "-c", &script]].concat());
    assert_eq!(said.exits(137).stdout, "");
    let inspected = inspect(&strake, "together");
    let kills = inspected["State"]["OOMKills"].as_array().unwrap().clone();
    // Whom the end of init takes before the kernel comes to it is in no account of its; none is in it twice.
    let named = |kill: &&Value| kill["WholeGroup"] == true && kill["Pid"].is_u64();
    let mut commands: Vec<&str> =
        kills.iter().filter(named).filter_map(|kill| kill["Command"].as_str()).collect();
    assert_eq!(commands.remove(0), "tail", "{kills:?}");
    assert!(commands.contains(&"sh") && !commands.contains(&"tail"), "{kills:?}");
    assert_eq!(kills.len(), commands.len() + 1, "{kills:?}");
    let why = strake.ok(&["why", "dead", "together"]);
    assert!(why.contains("with its whole group"), "{why}");
}

#[test]
fn cg_07_cpu_use_is_accounted_on_v2() {
    let strake = host();
    let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 1000";
    start(&strake, "used", &[], script);
    wait_for("the loop's end", || (strake.ok(&["logs", "used"]) == "done").then_some(()));
    let init = inspect(&strake, "used")["State"]["Pid"].as_u64().unwrap();
    // The kernel's own account of the one process.
    let stat = fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(4);
    let by_process = fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>() as f64 / 100.0;
    let by_cgroup = count(&strake, "used", "cpu.stat", "usage_usec") as f64 / 1e6;
    // What made the container counts for its group, not for its init.
    assert!(by_cgroup >= by_process * 0.95, "{by_cgroup} s, {by_process} s");
    let line = explained(&strake, "used", "CPU used");
    assert!(line.contains("cpu.stat"), "{line}");
    let stats = strake.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "used"]);
    assert!(stats.ends_with(" 1"), "{stats}");
}

#[test]
fn cg_08_pause_stops_all_tasks_and_unpause_continues_them_on_v2() {
    let strake = host();
    start(&strake, "frozen", &[], "while :; do :; done");
    strake.ok(&["pause", "frozen"]);
    assert_eq!(file(&strake, "frozen", "cgroup.freeze"), "1");
    assert_eq!(count(&strake, "frozen", "cgroup.events", "frozen"), 1);
    assert_eq!(inspect(&strake, "frozen")["State"]["Status"], "paused");
    assert!(explained(&strake, "frozen", "frozen").contains("yes"));
    let used = || count(&strake, "frozen", "cpu.stat", "usage_usec");
    let before = used();
    // The CPU goes to others meanwhile.
    for _ in 0..20 {
        run(&mut Command::new("true")).ok();
    }
    assert_eq!(used(), before, "it stands still");
    strake.ok(&["unpause", "frozen"]);
    assert_eq!(count(&strake, "frozen", "cgroup.events", "frozen"), 0);
    wait_for("it to go on", || (used() > before).then_some(()));
}

#[test]
fn cg_09_rates_of_a_disk_are_set_and_told_on_v2() {
    let strake = host();
    let (major, minor) = disk();
    let limits =
        ["--device-read-bps", "/dev/vdb:2mb", "--device-write-iops", "/dev/vdb:100", "--blkio-weight", "500"];
    start(&strake, "slow", &limits, "sleep 1000");
    assert_eq!(
        file(&strake, "slow", "io.max"),
        format!("{major}:{minor} rbps=2097152 wbps=max riops=max wiops=100")
    );
    assert!(file(&strake, "slow", "io.bfq.weight").contains("500"));
}

#[test]
fn cg_12_its_one_line_is_parsed_and_shown() {
    let strake = host();
    start(&strake, "member", &["-m", "64m"], "sleep 1000");
    let inspected = inspect(&strake, "member");
    let (pid, id) = (inspected["State"]["Pid"].as_u64().unwrap(), inspected["Id"].as_str().unwrap());
    let path = format!("{}/{id}", strake.cgroup().path());
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().trim(), format!("0::{path}"));
    let line = explained(&strake, "member", "group");
    assert!(line.contains(&format!("{path} (v2)")), "{line}");
    let tree = strake.ok(&["cgroup", "tree", "member"]);
    let line = tree.lines().find(|line| line.starts_with(&path)).unwrap_or_else(|| panic!("{tree}"));
    assert!(line.contains("64MiB") && line.ends_with("v2"), "{line}");
}
