//! Control groups of this host, as they are mounted here.

use std::fs;
use std::process::Command;

use inspect::cgroups::{Resources, hierarchies, place, tree};
use inspect::{Proc, kmsg};
use testkit::{CgroupSubtree, wait_for};

use crate::child::Held;

fn resources(pid: i32) -> Resources {
    let proc = Proc::open().unwrap();
    let mounted = hierarchies(&proc.this().unwrap().mounts().unwrap().value);
    let memberships = proc.process(pid).unwrap().cgroup_memberships().unwrap().value;
    Resources::read(&place(&memberships, &mounted))
}

#[test]
fn cg_12_limits_use_and_state_are_those_in_the_files() {
    let group = CgroupSubtree::new("inspect");
    let set = |controller: &str, file: &str, value: &str| {
        fs::write(group.dir(controller).join(file), value).unwrap();
    };
    set("memory", "memory.limit_in_bytes", "33554432");
    set("cpu", "cpu.cfs_quota_us", "25000");
    set("cpu", "cpu.shares", "512");
    set("pids", "pids.max", "11");
    let held = Held::start("env", &[]);
    for controller in ["memory", "cpu", "cpuacct", "pids", "freezer"] {
        set(controller, "cgroup.procs", &held.pid.to_string());
    }
    let found = resources(held.pid);
    let memory = found.memory.unwrap();
    assert_eq!(memory.limit_bytes.as_ref().unwrap().value, Some(32 << 20));
    assert_eq!(memory.effective_limit_bytes.unwrap().value, Some(32 << 20));
    assert_eq!(memory.oom_kills.unwrap().value, 0);
    let source = memory.limit_bytes.unwrap().source;
    assert_eq!(source, group.dir("memory").join("memory.limit_in_bytes").display().to_string());
    let cpu = found.cpu.unwrap();
    assert_eq!((cpu.quota_micros.unwrap().value, cpu.period_micros.unwrap().value), (Some(25_000), 100_000));
    assert_eq!(cpu.weight.unwrap().value, 512);
    let pids = found.pids.unwrap();
    assert_eq!((pids.limit.unwrap().value, pids.used.unwrap().value), (Some(11), 1));
    assert!(!found.freezer.unwrap().frozen.value);

    set("freezer", "freezer.state", "FROZEN");
    wait_for("the freezer", || resources(held.pid).freezer.filter(|freezer| freezer.frozen.value));
    set("freezer", "freezer.state", "THAWED");

    let mounted = hierarchies(&Proc::open().unwrap().this().unwrap().mounts().unwrap().value);
    let groups = tree(&mounted, group.path());
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].path.as_str(), groups[0].pids.as_slice()), (group.path(), &[held.pid][..]));
    assert_eq!(groups[0].memory_limit_bytes, Some(32 << 20));
}

#[test]
fn a_tighter_group_above_is_the_effective_limit() {
    let group = CgroupSubtree::new("inspect-above");
    let inner = group.dir("memory").join("inner");
    fs::write(group.dir("memory").join("memory.limit_in_bytes"), "16777216").unwrap();
    fs::create_dir(&inner).unwrap();
    let held = Held::start("env", &[]);
    fs::write(inner.join("cgroup.procs"), held.pid.to_string()).unwrap();
    let memory = resources(held.pid).memory.unwrap();
    assert_eq!(memory.limit_bytes.unwrap().value, None);
    assert_eq!(memory.effective_limit_bytes.unwrap().value, Some(16 << 20));
}

#[test]
fn an_oom_kill_is_counted_and_its_victim_is_in_the_log() {
    let group = CgroupSubtree::new("inspect-oom");
    fs::write(group.dir("memory").join("memory.limit_in_bytes"), "8388608").unwrap();
    let enter = format!("echo $$ > {}/cgroup.procs; exec tail /dev/zero", group.dir("memory").display());
    let keeper = Held::start("env", &[]);
    fs::write(group.dir("memory").join("cgroup.procs"), keeper.pid.to_string()).unwrap();
    let mut eater = Command::new("sh").args(["-c", &enter]).spawn().unwrap();
    let pid = eater.id() as i32;
    assert!(!eater.wait().unwrap().success());
    let memory = resources(keeper.pid).memory.unwrap();
    assert_eq!(memory.oom_kills.unwrap().value, 1);
    assert!(memory.limit_hits.unwrap().value > 0);
    let log = kmsg::oom_kills().unwrap().value;
    let kill = log.iter().rfind(|kill| kill.task_cgroup.as_deref() == Some(group.path())).unwrap();
    assert_eq!((kill.pid, kill.name.as_str()), (pid, "tail"));
    assert_eq!(kill.constraint.as_deref(), Some("CONSTRAINT_MEMCG"));
    assert_eq!(kill.limited_cgroup.as_deref(), Some(group.path()));
}
