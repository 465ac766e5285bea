//! Settings arrive in the kernel, and the kernel keeps to them.

use std::fs;
use std::time::Duration;

use testkit::{wait_for, wait_until};

use crate::{Fixture, chain, create, start_in};

fn read(fixture: &Fixture, controller: &str, file: &str) -> String {
    let path = fixture.cgroup.dir_of(controller).expect("a directory").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

#[test]
fn cg_01_memory_limit_is_set_and_readable() {
    let fixture = Fixture::new("memory");
    fixture
        .apply(r#"{"memory":{"limit":536870912,"swap":1073741824,"reservation":268435456,"swappiness":10}}"#);
    assert_eq!(read(&fixture, "memory", "memory.limit_in_bytes"), "536870912");
    assert_eq!(read(&fixture, "memory", "memory.memsw.limit_in_bytes"), "1073741824");
    let memory = fixture.cgroup.stats().memory;
    assert_eq!((memory.limit_bytes, memory.swap_limit_bytes), (Some(536_870_912), Some(536_870_912)));
}

#[test]
fn memory_and_swap_limits_move_together_in_any_direction() {
    let fixture = Fixture::new("swap");
    // The order of the two writes has to change each time.
    for (limit, swap) in [(64 << 20, 64 << 20), (256 << 20, 512 << 20), (32 << 20, 32 << 20), (1 << 30, -1)] {
        fixture.apply(&format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#));
        assert_eq!(read(&fixture, "memory", "memory.limit_in_bytes"), limit.to_string());
    }
    assert_eq!(fixture.cgroup.stats().memory.swap_limit_bytes, None);
}

#[test]
fn cg_05_half_a_cpu_is_half_a_cpu() {
    let fixture = Fixture::new("quota");
    fixture.apply(r#"{"cpu":{"quota":50000,"period":100000}}"#);
    let mut spinner = fixture.sh("while :; do :; done");
    let start = wait_for("the first throttled period", || {
        Some(fixture.cgroup.stats().cpu).filter(|cpu| cpu.throttled_periods > Some(0))
    });
    let end = wait_for("20 periods", || {
        Some(fixture.cgroup.stats().cpu)
            .filter(|cpu| cpu.periods >= start.periods.map(|periods| periods + 20))
    });
    let delta = |value: fn(&cgroup::CpuStats) -> Option<u64>| value(&end).unwrap() - value(&start).unwrap();
    let available = delta(|cpu| cpu.periods) * 100_000_000;
    let share = delta(|cpu| cpu.usage_ns) as f64 / available as f64;
    // A loaded machine may give less, never more.
    assert!(share < 0.53, "{share}");
    spinner.kill().unwrap();
    spinner.wait().unwrap();
}

#[test]
fn cpu_settings_move_together_in_any_direction() {
    let fixture = Fixture::new("burst");
    fixture.apply(r#"{"cpu":{"quota":50000,"period":100000,"burst":50000,"shares":512}}"#);
    fixture.apply(r#"{"cpu":{"quota":5000,"period":10000,"burst":1000}}"#);
    fixture.apply(r#"{"cpu":{"quota":500000,"period":1000000,"burst":400000,"idle":1}}"#);
    let files = ["cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"];
    assert_eq!(files.map(|file| read(&fixture, "cpu", file)), ["500000", "1000000", "400000", "1"]);
}

#[test]
fn cg_06_shares_divide_a_contended_cpu() {
    let fixture = Fixture::new("shares");
    let run = |name: &str, shares: u64| {
        let cgroup = create(&fixture.subtree, name, &fixture.layout);
        let plan = fixture.plan(&format!(r#"{{"cpu":{{"shares":{shares},"cpus":"0"}}}}"#));
        cgroup.apply(&plan).unwrap();
        let spinner = start_in(&cgroup, "while :; do :; done");
        (cgroup, spinner)
    };
    let (mut big, mut small) = (run("big", 1024), run("small", 512));
    let usage = |one: &cgroup::Cgroup| one.stats().cpu.usage_ns.unwrap_or(0);
    let start = wait_for("both to run", || {
        let now = (usage(&big.0), usage(&small.0));
        (now.0 > 50_000_000 && now.1 > 50_000_000).then_some(now)
    });
    let (first, second) = wait_for("two seconds of CPU time", || {
        let now = (usage(&big.0) - start.0, usage(&small.0) - start.1);
        (now.0 + now.1 > 2_000_000_000).then_some(now)
    });
    let ratio = first as f64 / second as f64;
    assert!((1.8..2.2).contains(&ratio), "{ratio}");
    for spinner in [&mut big.1, &mut small.1] {
        spinner.kill().unwrap();
        spinner.wait().unwrap();
    }
}

#[test]
fn cg_10_forks_stop_at_the_limit() {
    let fixture = Fixture::new("pids");
    fixture.apply(r#"{"pids":{"limit":10}}"#);
    let mut bomb =
        fixture.sh("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 60 & done; wait");
    wait_for("a fork to fail", || fixture.cgroup.stats().pids.limit_hits.filter(|hits| *hits > 0));
    let pids = fixture.cgroup.stats().pids;
    assert!(pids.current <= Some(10), "{pids:?}");
    assert_eq!(pids.limit, Some(10));
    fixture.cgroup.kill_all().unwrap();
    bomb.wait().unwrap();
}

#[test]
fn cpuset_is_filled_down_the_path() {
    let fixture = Fixture::new("cpuset");
    let deep = create(&fixture.subtree, "a/b/c", &fixture.layout);
    let dir = deep.v1_dir("cpuset").unwrap();
    assert!(!fs::read_to_string(dir.join("cpuset.cpus")).unwrap().trim().is_empty());
    assert!(!fs::read_to_string(dir.join("cpuset.mems")).unwrap().trim().is_empty());
    let mut child = start_in(&deep, "exit 0");
    assert!(child.wait().unwrap().success(), "a process can run there");
}

#[test]
fn refusals_name_file_value_and_way_out() {
    let fixture = Fixture::new("refused");
    let refused = |json: &str| chain(&fixture.cgroup.apply(&fixture.plan(json)).unwrap_err());
    let message = refused(r#"{"cpu":{"cpus":"0-4095"}}"#);
    assert!(message.contains("cpuset.cpus") && message.contains("0-4095"), "{message}");
    let message = refused(r#"{"cpu":{"quota":10}}"#);
    assert!(message.contains("cpu.cfs_quota_us") && message.contains("at least 1000"), "{message}");
    let message = refused(r#"{"blockIO":{"throttleReadBpsDevice":[{"major":4095,"minor":1,"rate":1}]}}"#);
    assert!(message.contains("4095:1 1") && message.contains("no such device"), "{message}");
}

#[test]
fn a_weight_without_a_scheduler_for_it_is_a_warning() {
    let fixture = Fixture::new("weight");
    let warnings = fixture.cgroup.apply(&fixture.plan(r#"{"blockIO":{"weight":500}}"#)).unwrap();
    let dir = fixture.cgroup.v1_dir("blkio").unwrap();
    let possible = ["blkio.bfq.weight", "blkio.weight"].iter().any(|file| dir.join(file).exists());
    assert_eq!(warnings.is_empty(), possible, "{warnings:?}");
}

#[test]
fn a_limit_below_use_is_refused_by_v1() {
    let fixture = Fixture::new("below");
    // tail keeps the one long line in memory.
    let mut hog = fixture.sh("head -c 33554432 /dev/zero | { tail -n 1 > /dev/null; }; read stop");
    assert!(wait_until(Duration::from_secs(20), || {
        fixture.cgroup.stats().memory.peak_bytes > Some(32 << 20)
    }));
    // Page cache can go, so only the answer's form matters: it works, or it says why not.
    if let Err(error) = fixture.cgroup.apply(&fixture.plan(r#"{"memory":{"limit":1048576}}"#)) {
        assert!(chain(&error).contains("choose a higher limit"), "{}", chain(&error));
    }
    hog.kill().unwrap();
    hog.wait().unwrap();
}
