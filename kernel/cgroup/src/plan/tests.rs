//! File plans as tables of data: the same resources on v1, on v2, and on machines that
//! lack something.

use super::cpu::weight;
use super::*;
use crate::layout::{Hierarchy, Unified};
use crate::setting::IfRefused;

const V1: &[&str] = &[
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "rdma",
    "name=systemd",
];
const V2: &[&str] = &["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];

fn layout(v1: &[&str], v2: Option<&[&str]>) -> Layout {
    let v1 = v1.iter().map(|name| Hierarchy {
        controllers: vec![(*name).to_owned()],
        mount_point: format!("/sys/fs/cgroup/{name}").into(),
        root: "/".to_owned(),
        own: "/".to_owned(),
    });
    let v2 = v2.map(|controllers| Unified {
        mount_point: "/sys/fs/cgroup".into(),
        root: "/".to_owned(),
        own: "/".to_owned(),
        controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
    });
    Layout { v1: v1.collect(), v2 }
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The settings as text, those with an alternative with it.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |setting: &Setting| match &setting.otherwise {
        Some((file, value)) => format!("{setting} or {file} = {value}"),
        None => setting.to_string(),
    };
    plan.settings.iter().map(line).collect()
}

fn check(json: &str, v1: &[&str], v2: &[&str]) {
    let resources = resources(json);
    for (layout, expected) in [(layout(V1, None), v1), (layout(&[], Some(V2)), v2)] {
        let plan = plan_update(&resources, &layout).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(lines(&plan), expected, "{json}");
    }
}

fn refused(json: &str, layout: &Layout) -> String {
    plan_update(&resources(json), layout).unwrap_err().to_string()
}

fn warned(json: &str, layout: &Layout) -> Vec<String> {
    plan_update(&resources(json), layout).unwrap().warnings.into_iter().map(|warning| warning.what).collect()
}

#[test]
fn cg_01_memory() {
    check(
        r#"{"memory":{"limit":536870912,"swap":1073741824,"reservation":268435456}}"#,
        &[
            "memory:memory.limit_in_bytes = 536870912",
            "memory:memory.memsw.limit_in_bytes = 1073741824",
            "memory:memory.soft_limit_in_bytes = 268435456",
        ],
        &["memory.swap.max = 536870912", "memory.max = 536870912", "memory.low = 268435456"],
    );
    check(
        r#"{"memory":{"limit":-1,"swap":-1}}"#,
        &["memory:memory.limit_in_bytes = -1", "memory:memory.memsw.limit_in_bytes = -1"],
        &["memory.swap.max = max", "memory.max = max"],
    );
    check(
        r#"{"memory":{"limit":-1}}"#,
        &["memory:memory.limit_in_bytes = -1", "memory:memory.memsw.limit_in_bytes = -1"],
        &["memory.swap.max = max", "memory.max = max"],
    );
    check(r#"{"memory":{"limit":4096}}"#, &["memory:memory.limit_in_bytes = 4096"], &["memory.max = 4096"]);
    check(r#"{"memory":{"limit":0,"swap":0}}"#, &[], &[]);
    check(r#"{"memory":{}}"#, &[], &[]);
    check(
        r#"{"memory":{"swappiness":30,"disableOOMKiller":true,"useHierarchy":true,"kernelTCP":4096}}"#,
        &[
            "memory:memory.use_hierarchy = 1",
            "memory:memory.kmem.tcp.limit_in_bytes = 4096",
            "memory:memory.swappiness = 30",
            "memory:memory.oom_control = 1",
        ],
        &[],
    );
}

#[test]
fn memory_settings_that_depend_on_each_other_are_tried_in_turn() {
    let both = resources(r#"{"memory":{"limit":4096,"swap":8192}}"#);
    let plan = plan_update(&both, &layout(V1, None)).unwrap();
    assert!(plan.settings.iter().all(|setting| setting.if_refused == IfRefused::RetryInTurn));
    let none = resources(r#"{"memory":{"limit":4096,"swap":4096}}"#);
    let plan = plan_update(&none, &layout(&[], Some(V2))).unwrap();
    assert_eq!(plan.settings[0].if_refused, IfRefused::IgnoreMissing, "no swap needs no swap accounting");
}

#[test]
fn check_before_update_guards_the_limit_on_v2() {
    let update = resources(r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#);
    let plan = plan_update(&update, &layout(&[], Some(V2))).unwrap();
    assert_eq!(plan.settings[0].not_below.as_deref(), Some("memory.current"));
    let plan = plan_update(&update, &layout(V1, None)).unwrap();
    assert_eq!(plan.settings[0].not_below, None, "v1 refuses by itself");
}

#[test]
fn cg_05_cpu_time() {
    check(
        r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"burst":20000,"idle":0}}"#,
        &[
            "cpu:cpu.shares = 512",
            "cpu:cpu.cfs_period_us = 100000",
            "cpu:cpu.cfs_quota_us = 50000",
            "cpu:cpu.cfs_burst_us = 20000",
            "cpu:cpu.idle = 0",
        ],
        &["cpu.idle = 0", "cpu.weight = 59", "cpu.max = 50000 100000", "cpu.max.burst = 20000"],
    );
    check(r#"{"cpu":{"quota":-1}}"#, &["cpu:cpu.cfs_quota_us = -1"], &["cpu.max = max"]);
    check(r#"{"cpu":{"quota":25000}}"#, &["cpu:cpu.cfs_quota_us = 25000"], &["cpu.max = 25000"]);
    check(r#"{"cpu":{"period":50000}}"#, &["cpu:cpu.cfs_period_us = 50000"], &["cpu.max = max 50000"]);
    check(
        r#"{"cpu":{"idle":1,"shares":512}}"#,
        &["cpu:cpu.shares = 512", "cpu:cpu.idle = 1"],
        &["cpu.idle = 1"],
    );
    check(r#"{"cpu":{"shares":0,"quota":0,"period":0}}"#, &[], &[]);
    check(
        r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#,
        &["cpuset:cpuset.cpus = 0-1", "cpuset:cpuset.mems = 0"],
        &["cpuset.cpus = 0-1", "cpuset.mems = 0"],
    );
}

#[test]
fn realtime_is_v1s() {
    let realtime = r#"{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":950000}}"#;
    let plan = plan_update(&resources(realtime), &layout(V1, None)).unwrap();
    assert_eq!(lines(&plan), ["cpu:cpu.rt_period_us = 1000000", "cpu:cpu.rt_runtime_us = 950000"]);
    assert!(refused(realtime, &layout(&[], Some(V2))).contains("realtimeRuntime"));
}

#[test]
fn shares_become_weights() {
    for (shares, expected) in [
        (0, 1),
        (2, 1),
        (3, 2),
        (102, 17),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (204_800, 8064),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ] {
        assert_eq!(weight(shares), expected, "{shares}");
    }
}

#[test]
fn cg_10_pids() {
    check(r#"{"pids":{"limit":100}}"#, &["pids:pids.max = 100"], &["pids.max = 100"]);
    check(r#"{"pids":{"limit":-1}}"#, &["pids:pids.max = max"], &["pids.max = max"]);
    check(r#"{"pids":{"limit":0}}"#, &["pids:pids.max = 1"], &["pids.max = 1"]);
}

#[test]
fn block_io() {
    check(
        r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],
            "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":0}],
            "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":300}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":400}]}}"#,
        &[
            "blkio:blkio.bfq.weight = 500 or blkio.weight = 500",
            "blkio:blkio.bfq.weight_device = 8:0 10 or blkio.weight_device = 8:0 10",
            "blkio:blkio.throttle.read_bps_device = 8:0 1048576",
            "blkio:blkio.throttle.write_bps_device = 8:0 0",
            "blkio:blkio.throttle.read_iops_device = 8:0 300",
            "blkio:blkio.throttle.write_iops_device = 8:16 400",
        ],
        &[
            "io.bfq.weight = 500 or io.weight = 4950",
            "io.bfq.weight = 8:0 10 or io.weight = 8:0 1",
            "io.max = 8:0 rbps=1048576",
            "io.max = 8:0 wbps=max",
            "io.max = 8:0 riops=300",
            "io.max = 8:16 wiops=400",
        ],
    );
    assert!(refused(r#"{"blockIO":{"weight":5}}"#, &layout(V1, None)).contains("between 10 and 1000"));
    assert_eq!(warned(r#"{"blockIO":{"leafWeight":100}}"#, &layout(&[], Some(V2))), ["blockIO.leafWeight"]);
}

#[test]
fn huge_pages_rdma_and_network() {
    check(
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
        &[
            "hugetlb:hugetlb.2MB.limit_in_bytes = 4194304",
            "hugetlb:hugetlb.2MB.rsvd.limit_in_bytes = 4194304",
        ],
        &["hugetlb.2MB.max = 4194304", "hugetlb.2MB.rsvd.max = 4194304"],
    );
    for size in ["2", "../x", "MB", "2TB", "2MBx"] {
        let json = format!(r#"{{"hugepageLimits":[{{"pageSize":"{size}","limit":1}}]}}"#);
        assert!(refused(&json, &layout(V1, None)).contains("pageSize"), "{size}");
    }
    check(
        r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"mlx4_0":{"hcaObjects":1}}}"#,
        &["rdma:rdma.max = mlx4_0 hca_object=1", "rdma:rdma.max = mlx5_1 hca_handle=3 hca_object=10000"],
        &["rdma.max = mlx4_0 hca_object=1", "rdma.max = mlx5_1 hca_handle=3 hca_object=10000"],
    );
    let network = r#"{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":500}]}}"#;
    check(network, &["net_cls:net_cls.classid = 1048577", "net_prio:net_prio.ifpriomap = eth0 500"], &[]);
    assert_eq!(warned(network, &layout(&[], Some(V2))), ["network"]);
}

#[test]
fn unified_names_v2_files_only() {
    let high = r#"{"unified":{"memory.high":"1048576","cgroup.max.depth":"3"}}"#;
    let plan = plan_update(&resources(high), &layout(&[], Some(V2))).unwrap();
    assert_eq!(lines(&plan), ["cgroup.max.depth = 3", "memory.high = 1048576"]);
    assert!(refused(high, &layout(V1, None)).contains("whose cgroup controller"));
    let hybrid = layout(V1, Some(&["hugetlb"]));
    assert!(refused(r#"{"unified":{"memory.high":"1"}}"#, &hybrid).contains("whose memory controller"));
    for key in ["memory", "../x.y", "memory.high/..", "", ".x", "a.b c"] {
        let json = format!(r#"{{"unified":{{"{key}":"1"}}}}"#);
        assert!(plan_update(&resources(&json), &layout(&[], Some(V2))).is_err(), "{key}");
    }
}

#[test]
fn a_missing_controller_is_named() {
    let machine = layout(&["cpu", "memory"], Some(&["hugetlb"]));
    for (json, controller) in [
        (r#"{"pids":{"limit":5}}"#, "pids"),
        (r#"{"cpu":{"cpus":"0"}}"#, "cpuset"),
        (r#"{"network":{"classID":5}}"#, "net_cls"),
        (r#"{"rdma":{"x":{"hcaHandles":5}}}"#, "rdma"),
        (r#"{"blockIO":{"weight":50}}"#, "io"),
    ] {
        let message = refused(json, &machine);
        assert!(message.contains(&format!("the {controller} cgroup controller")), "{message}");
    }
    // In hybrid a controller is where it is.
    let hugetlb = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}"#;
    let plan = plan_update(&resources(hugetlb), &machine).unwrap();
    assert_eq!(lines(&plan), ["hugetlb.2MB.max = 0", "hugetlb.2MB.rsvd.max = 0"]);
    // Nothing asked needs nothing.
    assert!(super::plan(&resources("{}"), &machine).unwrap().settings.is_empty());
}

#[test]
fn contradictions_are_refused() {
    for (json, word) in [
        (r#"{"memory":{"limit":8192,"swap":4096}}"#, "below memory.limit"),
        (r#"{"memory":{"swap":4096}}"#, "needs memory.limit"),
        (r#"{"memory":{"limit":-1,"swap":4096}}"#, "unlimited"),
        (r#"{"memory":{"limit":1,"swap":-2}}"#, "-1 for no limit"),
    ] {
        let message = refused(json, &layout(&[], Some(V2)));
        assert!(message.contains(word), "{message}");
    }
    assert!(
        refused(r#"{"memory":{"limit":8192,"swap":4096}}"#, &layout(V1, None)).contains("below memory.limit")
    );
    assert!(refused(r#"{"memory":{"swappiness":101}}"#, &layout(V1, None)).contains("between 0 and 100"));
}

#[test]
fn what_v2_lacks_is_said() {
    let asked = r#"{"memory":{"swappiness":10,"disableOOMKiller":true,"kernelTCP":1,"kernel":1}}"#;
    assert_eq!(
        warned(asked, &layout(&[], Some(V2))),
        ["memory.kernel", "memory.kernelTCP", "memory.swappiness", "memory.disableOOMKiller"]
    );
    assert_eq!(warned(asked, &layout(V1, None)), ["memory.kernel"]);
}

#[test]
fn device_rules_are_for_new_containers_only() {
    let empty = resources("{}");
    let policy = plan(&empty, &layout(V1, None)).unwrap().devices.unwrap();
    assert!(!policy.allow_by_default);
    assert_eq!(plan_update(&empty, &layout(V1, None)).unwrap().devices, None);
}
