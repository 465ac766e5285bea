//! cgroup v2, as far as a machine shows it whose controllers are in v1: making, joining,
//! freezing, killing, removing, and device rules by eBPF.

use std::os::fd::AsFd;
use std::time::Duration;

use cgroup::{Cgroup, DevicePolicy, FreezerState, Layout, Mode, Plan, device_program, plan};
use testkit::{CgroupSubtree, TempDir, wait_for, wait_until};

use crate::{Fixture, path, start_in};

/// A cgroup in a layout that knows v2 only.
fn v2_only(name: &str) -> (Cgroup, CgroupSubtree) {
    let subtree = CgroupSubtree::new(name);
    let mut layout = Layout::detect().unwrap();
    layout.v1.clear();
    assert_eq!(layout.mode(), Mode::V2);
    // Its controllers stay as they are on this machine.
    layout.v2.as_mut().unwrap().controllers.clear();
    let cgroup = Cgroup::create(&path(&subtree, "web"), &layout).unwrap();
    (cgroup, subtree)
}

#[test]
fn cg_08_v2_freezes_and_thaws() {
    let (cgroup, _subtree) = v2_only("v2freeze");
    let mut spinner = start_in(&cgroup, "while :; do :; done");
    // Without a controller cpu.stat still counts.
    let usage = || cgroup.stats().cpu.usage_ns.unwrap();
    cgroup.freeze().unwrap();
    assert_eq!(cgroup.freezer_state().unwrap(), FreezerState::Frozen);
    let still = usage();
    assert!(!wait_until(Duration::from_millis(150), || usage() != still), "it went on");
    cgroup.thaw().unwrap();
    assert_eq!(cgroup.freezer_state().unwrap(), FreezerState::Thawed);
    wait_for("it to go on", || (usage() > still).then_some(()));
    cgroup.freeze().unwrap();
    cgroup.kill_all().unwrap();
    spinner.wait().unwrap();
    cgroup.remove().unwrap();
    assert!(!cgroup.exists());
}

#[test]
fn v2_removes_what_is_below() {
    let (cgroup, _subtree) = v2_only("v2remove");
    std::fs::create_dir_all(cgroup.v2_dir().unwrap().join("inner/most")).unwrap();
    let mut child = start_in(&cgroup, "sleep 60 & read stop");
    wait_for("both", || (cgroup.pids().unwrap().len() == 2).then_some(()));
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    child.wait().unwrap();
    assert!(!cgroup.exists());
}

#[test]
fn v2_device_rules_are_a_program_that_can_be_replaced() {
    let (cgroup, _subtree) = v2_only("v2devices");
    let dir = TempDir::new();
    let node = dir.path().join("loop");
    let try_open = |expected: bool| {
        let script = format!("true < /dev/null || exit 9; (true < {}) || exit 1; exit 0", node.display());
        let code = start_in(&cgroup, &script).wait().unwrap().code();
        assert_eq!(code, Some(i32::from(!expected)));
    };
    // The kernel's log: a character device that everybody has and no container may use.
    std::os::unix::fs::symlink("/dev/kmsg", &node).unwrap();
    try_open(true);
    let none = plan(&serde_json::from_str("{}").unwrap(), &Layout::default()).unwrap();
    let apply = |plan: &Plan| cgroup.apply(plan).unwrap_or_else(|error| panic!("{}", crate::chain(&error)));
    assert!(apply(&none).is_empty());
    try_open(false);
    let kmsg = r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    apply(&plan(&serde_json::from_str(kmsg).unwrap(), &Layout::default()).unwrap());
    try_open(true);
    apply(&none);
    try_open(false);
    let attached = std::fs::File::open(cgroup.v2_dir().unwrap()).unwrap();
    assert_eq!(sys::bpf::device_programs(attached.as_fd()).unwrap().len(), 1, "replaced, not piled up");
}

#[test]
fn the_kernel_accepts_long_device_programs() {
    let mut policy = DevicePolicy::default();
    for number in 0..200u32 {
        policy.add(cgroup::DeviceRule {
            allow: number % 3 != 0,
            kind: Some(cgroup::DeviceKind::Block),
            major: Some(number),
            minor: (number % 2 == 0).then_some(number),
            access: cgroup::Access::ALL,
        });
    }
    sys::bpf::load_device_program(&device_program(&policy)).unwrap();
}

#[test]
fn beside_v1_nothing_is_enabled_that_nobody_needs() {
    let fixture = Fixture::new("hybrid");
    if fixture.layout.mode() == Mode::Hybrid {
        let parent = fixture.cgroup.v2_dir().unwrap().parent().unwrap();
        let given = std::fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap();
        assert_eq!(given.trim(), "");
    }
}

#[test]
fn cg_14_a_delegated_cgroup_belongs_to_its_user_but_for_its_limits() {
    use std::os::unix::fs::MetadataExt;
    let (cgroup, _subtree) = v2_only("v2owner");
    let dir = cgroup.v2_dir().unwrap();
    let owner = |file: &str| std::fs::metadata(dir.join(file)).unwrap().uid();
    cgroup.delegate(12_345).unwrap();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(file), 12_345, "{file:?}");
    }
    for file in ["cgroup.freeze", "cgroup.max.descendants", "cgroup.type"] {
        assert_eq!(owner(file), 0, "{file}");
    }
    // v1 is no border for its owner: beside it nothing is given away.
    let fixture = Fixture::new("owner");
    if fixture.layout.mode() == Mode::Hybrid {
        fixture.cgroup.delegate(12_345).unwrap();
        let dirs: Vec<_> = fixture.cgroup.dirs().collect();
        assert!(dirs.iter().all(|dir| std::fs::metadata(dir).unwrap().uid() == 0), "{dirs:?}");
    }
}
