//! How the kernel treats the processes: scheduler, disk priority, CPUs, personality, huge pages. Of init, and of those
//! that `exec` adds.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{isolated, run};

use crate::bundle::Bundle;

#[test]
fn init_and_exec_have_the_scheduler_of_the_spec() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 17 });
        });
        bundle.start();
        // proc_pid_stat(5): nice and policy, 3 for batch.
        let stat = fs::read_to_string(format!("/proc/{}/stat", bundle.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        assert_eq!((fields[16], fields[38]), ("17", "3"), "{stat}");
        let exec = bundle.runtime(&["exec", "c", "awk", "{print $19, $41}", "/proc/self/stat"]);
        assert_eq!(exec.ok(), "17 3");
        bundle.runtime(&["delete", "--force", "c"]).ok();
        for (scheduler, part) in [
            (json!({ "policy": "SCHED_FAIR" }), "SCHED_FAIR"),
            (json!({ "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONE"] }), "SCHED_FLAG_NONE"),
        ] {
            let wrong = Bundle::new().with(|spec| spec["process"]["scheduler"] = scheduler);
            wrong.run().exits(1).says(part);
        }
    });
}

#[test]
fn init_and_exec_have_the_disk_priority_of_the_spec() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        });
        bundle.start();
        let init = run(Command::new("ionice").args(["-p", &bundle.pid().to_string()]));
        assert_eq!(init.ok(), "best-effort: prio 6");
        assert_eq!(bundle.runtime(&["exec", "c", "busybox", "ionice"]).ok(), "best-effort: prio 6");
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let wrong = Bundle::new().with(|spec| {
            spec["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_FAST", "priority": 6 });
        });
        wrong.run().exits(1).says("IOPRIO_CLASS_FAST");
    });
}

#[test]
fn init_and_exec_have_the_personality_of_the_spec() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /proc/self/personality; sleep 1000").with(|spec| {
            spec["linux"]["personality"] = json!({ "domain": "LINUX32" });
        });
        bundle.start();
        testkit::wait_for("its word", || (bundle.printed().trim() == "00000008").then_some(()));
        assert_eq!(bundle.runtime(&["exec", "c", "cat", "/proc/self/personality"]).ok(), "00000008");
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let wrong = |personality| Bundle::new().with(|spec| spec["linux"]["personality"] = personality).run();
        wrong(json!({ "domain": "LINUX16" })).exits(1).says("LINUX16");
        wrong(json!({ "domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"] }))
            .exits(1)
            .says("ADDR_NO_RANDOMIZE");
    });
}

#[test]
fn exec_runs_on_the_cpus_of_its_affinity() {
    isolated(|| {
        let allowed = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        let all = allowed(&fs::read_to_string("/proc/self/status").unwrap());
        let last = all.rsplit([',', '-']).next().unwrap().to_owned();
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": last });
        });
        bundle.start();
        let exec = bundle.runtime(&["exec", "c", "cat", "/proc/self/status"]);
        assert_eq!(allowed(exec.ok()), last);
        let init = fs::read_to_string(format!("/proc/{}/status", bundle.pid())).unwrap();
        assert_eq!(allowed(&init), all, "init has all of them");
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let wrong = bundle.with(|spec| spec["process"]["execCPUAffinity"] = json!({ "initial": "a-b" }));
        wrong.run().exits(1).says("a-b");
    });
}

/// Where v1 has no such controller, v2 may have it: the limit is set in whichever tree has it.
#[test]
fn huge_pages_are_limited_in_the_tree_that_has_the_controller() {
    isolated(|| {
        let limits = |size: &str| json!([{ "pageSize": size, "limit": 4 << 20 }]);
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["resources"]["hugepageLimits"] = limits("2MB");
        });
        let v1 = fs::read_to_string("/proc/cgroups").unwrap_or_default();
        let names =
            |line: &str| line.starts_with("hugetlb\t") && line.split('\t').nth(1).is_some_and(|at| at != "0");
        let (tree, file) = match v1.lines().any(names) {
            true => ("hugetlb", "hugetlb.2MB.limit_in_bytes"),
            false => ("unified", "hugetlb.2MB.max"),
        };
        let has = fs::read_to_string(bundle.cgroup.dir("unified").join("cgroup.controllers"));
        if tree == "unified" && !has.unwrap_or_default().contains("hugetlb") {
            bundle.run().exits(1).says("hugetlb");
            return;
        }
        bundle.start();
        let set = fs::read_to_string(bundle.cgroup.dir(tree).join("c").join(file)).unwrap();
        assert_eq!(set.trim(), (4 << 20).to_string());
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let wrong = bundle.with(|spec| spec["linux"]["resources"]["hugepageLimits"] = limits("3MB"));
        wrong.run().exits(1).says("3MB");
        wrong.assert_nothing_left();
    });
}
