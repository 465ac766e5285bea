//! SIGKILL at every failpoint; then the store is usable and nothing stays behind.

use std::fs;
use std::path::Path;

use snapshot::{FAILPOINTS, MountOptions, Snapshots};
use testkit::{Dying, TempDir};

use crate::tree::show_chain;
use crate::{chain, key};

const LAYERS: [&str; 3] = ["base=1 d/ d/x=1", "d/y=1 .wh.base l=>d/x", "top=1"];
const SEEN: &str = "d/ d/x=1 d/y=1 l=1 top=1";

/// Everything that the store can do, so that every failpoint is met.
fn scenario(store: &Snapshots) {
    store.recover().unwrap();
    let image = chain(store, &LAYERS);
    let other = chain(store, &["other=1", "top=1"]);
    for name in ["a", "b"] {
        store.remove(&key(name)).unwrap();
        store.prepare(&key(name), Some(&image), None).unwrap();
        drop(store.mount(&key(name), MountOptions::default()).unwrap());
    }
    store.remove(&key("a")).unwrap();
    store.prune(&[image]).unwrap();
    store.empty_trash().unwrap();
    assert!(!store.contains(&other).unwrap());
}

/// The process that is killed. As a test of its own it has nothing to do.
#[test]
fn child() {
    let Some(dying) = Dying::here() else { return };
    scenario(&Snapshots::open(Path::new(&dying.work)).unwrap());
}

/// Whether the child was killed at the failpoint; else it has come to the end.
fn killed_at(root: &Path, failpoint: &str, skip: u32) -> bool {
    Dying::at(failpoint, skip, root.display().to_string()).is_killed("crash::child")
}

fn check(root: &Path, at: &str) {
    let store = Snapshots::open(root).unwrap();
    store.recover().unwrap();
    let after = store.usage().unwrap();
    store.recover().unwrap();
    assert_eq!(store.usage().unwrap(), after, "{at}: a second recovery changes nothing");
    // What is there is whole.
    for layer in store.chains().unwrap() {
        store.layers(&layer.chain_id).unwrap();
        show_chain(&store, &layer.chain_id);
    }
    for snapshot in store.snapshots().unwrap() {
        store.mount(&snapshot.key, MountOptions::default()).unwrap();
    }
    let numbers = fs::read_dir(root.join("layers")).unwrap().count();
    assert!(store.chains().unwrap().len() >= numbers, "{at}: a layer without a chain");
    assert_eq!(after.other_bytes, 0, "{at}: staging or trash is not empty");
    // The same again, over what the crash left.
    scenario(&store);
    assert_eq!(show_chain(&store, &chain(&store, &LAYERS)), SEEN, "{at}");
    store.remove(&key("b")).unwrap();
    store.prune(&[]).unwrap();
    store.recover().unwrap();
    for directory in ["layers", "chains", "staging", "active", "leases", "unsynced", "trash"] {
        let left: Vec<_> =
            fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{at}: left behind: {left:?}");
    }
}

#[test]
fn a_kill_anywhere_leaves_a_usable_store() {
    for failpoint in FAILPOINTS {
        let mut met = 0;
        for skip in [0, 1, 2, 4, 7] {
            let directory = TempDir::new();
            if !killed_at(directory.path(), failpoint, skip) {
                break;
            }
            met += 1;
            check(directory.path(), &format!("{failpoint} {skip}"));
        }
        assert!(met > 0, "{failpoint} is never met");
    }
}
