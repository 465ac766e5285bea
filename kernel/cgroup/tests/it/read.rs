//! Reading cgroups back.

use cgroup::{Cgroup, tree};

use crate::Fixture;

#[test]
fn cg_12_a_process_leads_to_its_cgroup() {
    let fixture = Fixture::new("of");
    let mut child = fixture.sh("read stop");
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let found = Cgroup::of_process(&text, &fixture.layout);
    assert!(found.dirs().eq(fixture.cgroup.dirs()));
    assert_eq!(found.path(), fixture.cgroup.path());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn cg_07_use_is_accounted() {
    let fixture = Fixture::new("stats");
    let mut child = fixture.sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; read stop");
    testkit::wait_for("some use", || {
        let stats = fixture.cgroup.stats();
        let used = stats.cpu.usage_ns > Some(1_000_000) && stats.memory.usage_bytes > Some(0);
        (used && stats.pids.current == Some(1)).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_tree_has_every_hierarchy_in_one() {
    let fixture = Fixture::new("tree");
    let mut child = fixture.sh("read stop");
    let nodes = tree(&fixture.layout);
    let own = nodes.iter().find(|node| node.path == fixture.cgroup.path()).expect("it is in the tree");
    assert_eq!(own.hierarchies.len(), fixture.cgroup.dirs().count());
    assert_eq!(own.processes, [i32::try_from(child.id()).unwrap()]);
    assert_eq!((own.depth, nodes[0].path.as_str()), (2, "/"));
    child.kill().unwrap();
    child.wait().unwrap();
}
