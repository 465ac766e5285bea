//! SIGKILL at every failpoint; then the store is usable and nothing stays behind.

use std::fs;
use std::path::Path;

use content::{FAILPOINTS, Store};
use testkit::{Dying, TempDir};

use crate::images::pull;

/// Everything that the store can do, so that every failpoint is met.
fn scenario(store: &Store) {
    store.recover().unwrap();
    pull(store, "a", &["shared", "only-a"]).unwrap();
    pull(store, "b", &["shared", "only-b"]).unwrap();
    store.remove_name("a").unwrap();
    store.gc().unwrap();
    pull(store, "a", &["shared", "new-a"]).unwrap();
    // Damage in a blob that no name reaches, for the check to find.
    let stray = store.put(b"stray").unwrap();
    let path = store.blob_path(&stray);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "damaged").unwrap();
    for flaw in store.examine().unwrap() {
        store.mend(&flaw).unwrap();
    }
    store.gc().unwrap();
}

/// The process that is killed. As a test of its own it has nothing to do.
#[test]
fn child() {
    let Some(dying) = Dying::here() else { return };
    scenario(&Store::open(Path::new(&dying.work)).unwrap().without_sync());
}

/// Whether the child was killed at the failpoint; else it has come to the end.
fn killed_at(root: &Path, failpoint: &str, skip: u32) -> bool {
    Dying::at(failpoint, skip, root.display().to_string()).is_killed("crash::child")
}

fn check(root: &Path, at: &str) {
    let store = Store::open(root).unwrap().without_sync();
    store.recover().unwrap();
    store.recover().unwrap();
    for name in store.names().unwrap() {
        assert_eq!(store.missing(&name.target.digest).unwrap(), [], "{at}: {} is not whole", name.name);
    }
    // The same again, over what the crash left.
    scenario(&store);
    assert_eq!(store.examine().unwrap(), [], "{at}");
    for name in ["a", "b"] {
        assert!(store.remove_name(name).unwrap(), "{at}: {name}");
    }
    store.gc().unwrap();
    for directory in ["blobs/sha256", "ingest", "names", "leases", "unsynced", "labels"] {
        let left: Vec<_> =
            fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{at}: left behind: {left:?}");
    }
}

#[test]
fn a_kill_anywhere_leaves_a_usable_store() {
    for failpoint in FAILPOINTS {
        let mut met = 0;
        // The first ones, and some later ones: images that share content differ.
        for skip in [0, 1, 2, 5, 9, 17] {
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
