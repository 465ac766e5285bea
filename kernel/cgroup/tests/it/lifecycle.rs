//! Making and removing.

use cgroup::{Cgroup, Error, Layout};
use testkit::CgroupSubtree;

use crate::{Fixture, path};

#[test]
fn is_made_in_every_hierarchy_and_removed_from_every_one() {
    let fixture = Fixture::new("made");
    let dirs: Vec<_> = fixture.cgroup.dirs().map(ToOwned::to_owned).collect();
    assert_eq!(dirs.len(), fixture.layout.v1.len() + usize::from(fixture.layout.v2.is_some()));
    assert!(dirs.iter().all(|dir| dir.is_dir()));
    // What the container made below itself goes with it.
    for dir in &dirs {
        std::fs::create_dir_all(dir.join("inner/most")).unwrap();
    }
    fixture.cgroup.remove().unwrap();
    assert!(dirs.iter().all(|dir| !dir.exists()));
    fixture.cgroup.remove().unwrap();
}

#[test]
fn an_empty_one_may_exist_and_one_in_use_may_not() {
    let fixture = Fixture::new("use");
    let again = || Cgroup::create(&path(&fixture.subtree, "web"), &fixture.layout);
    assert_eq!(again().unwrap(), fixture.cgroup);
    let mut child = fixture.sh("read stop");
    let error = again().unwrap_err();
    assert!(matches!(error, Error::InUse { processes: 1, .. }), "{error}");
    assert!(child.try_wait().unwrap().is_none(), "its process lives on");
    assert!(fixture.cgroup.exists());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn removing_waits_for_the_dying_and_names_the_living() {
    let fixture = Fixture::new("dying");
    let mut child = fixture.sh("read stop");
    fixture.cgroup.kill_all().unwrap();
    fixture.cgroup.remove().unwrap();
    child.wait().unwrap();
}

#[test]
fn survives_a_round_trip_through_json() {
    let fixture = Fixture::new("json");
    let text = serde_json::to_string(&fixture.cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), fixture.cgroup);
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let subtree = CgroupSubtree::new("many");
    let layout = Layout::detect().unwrap();
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (subtree, layout) = (&subtree, &layout);
            scope.spawn(move || {
                for _ in 0..5 {
                    let cgroup = Cgroup::create(&path(subtree, &format!("shared/{at}")), layout).unwrap();
                    cgroup.remove().unwrap();
                }
            });
        }
    });
}

#[test]
fn v2_takes_clones() {
    let fixture = Fixture::new("clone");
    let fd = fixture.cgroup.fd_for_clone_into().unwrap();
    assert_eq!(fd.is_some(), fixture.layout.v2.is_some());
}

#[test]
fn ns_14_empty_parents_can_go_too() {
    let fixture = Fixture::new("parents");
    let own = format!("{}/own", fixture.subtree.path());
    let one = crate::create(&fixture.subtree, "own/a/one", &fixture.layout);
    let two = crate::create(&fixture.subtree, "own/two", &fixture.layout);
    let exists = |name: &str| Cgroup::locate(&path(&fixture.subtree, name), &fixture.layout).exists();
    one.remove().unwrap();
    one.remove_empty_parents(&own);
    assert!(!exists("own/a") && exists("own/two"), "as far as they are empty");
    two.remove().unwrap();
    two.remove_empty_parents(&own);
    assert!(!exists("own"));
    assert!(fixture.cgroup.exists(), "above it nothing is touched");
    // Somebody else's parent, and the root, stay.
    fixture.cgroup.remove_empty_parents("/elsewhere");
    fixture.cgroup.remove_empty_parents("/");
    assert!(fixture.cgroup.exists());
}

#[test]
fn a_parent_that_vanishes_while_a_child_is_made_is_made_again() {
    let subtree = CgroupSubtree::new("vanish");
    let layout = Layout::detect().unwrap();
    let top = format!("{}/shared", subtree.path());
    std::thread::scope(|scope| {
        for at in 0..4 {
            let (subtree, layout, top) = (&subtree, &layout, top.as_str());
            scope.spawn(move || {
                for _ in 0..20 {
                    let cgroup = Cgroup::create(&path(subtree, &format!("shared/{at}")), layout).unwrap();
                    cgroup.remove().unwrap();
                    cgroup.remove_empty_parents(top);
                }
            });
        }
    });
    assert!(!Cgroup::locate(&path(&subtree, "shared"), &layout).exists());
}
