//! Pulls, containers, prunes and recoveries at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use content::LeaseKind;
use snapshot::{MountOptions, Snapshots};

use crate::tree::show;
use crate::{key, layer, spec, stage, store};

/// What a pull does, and a container of it.
fn pull_and_run(store: &Snapshots, thread: usize, round: usize) {
    let name = format!("t{thread}.{round}");
    let lease = store.leases().take(&name, LeaseKind::WhileHeld).unwrap();
    let texts = ["base=1 d/ d/x=1".to_owned(), format!("own={}", thread % 2), "d/y=1".to_owned()];
    let mut parent = None;
    for text in &texts {
        let archive = layer(text);
        let chain = spec_chain(parent.as_ref(), &archive);
        lease.add(&chain).unwrap();
        if !store.contains(&chain).unwrap()
            && store.share(&spec(&archive), parent.as_ref()).unwrap().is_none()
        {
            store.commit(stage(store, &archive).unwrap(), parent.as_ref()).unwrap();
        }
        parent = Some(chain);
    }
    store.prepare(&key(&name), parent.as_ref(), None).unwrap();
    drop(lease);
    let mount = store.mount(&key(&name), MountOptions { volatile: true, ..MountOptions::default() }).unwrap();
    assert_eq!(show(&mount), format!("base=1 d/ d/x=1 d/y=1 own={}", thread % 2));
    drop(mount);
    assert!(store.remove(&key(&name)).unwrap());
    store.empty_trash().unwrap();
}

fn spec_chain(parent: Option<&base::Digest>, archive: &[u8]) -> base::Digest {
    let diff_id = spec(archive).diff_id;
    parent.map_or(diff_id.clone(), |parent| base::Digest::sha256_of(format!("{parent} {diff_id}").as_bytes()))
}

#[test]
fn nobody_gets_in_anothers_way() {
    let (_directory, store) = store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.prune(&[]).unwrap();
                store.recover().unwrap();
            }
        });
        let pullers: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn({
                    let store = &store;
                    move || (0..25).for_each(|round| pull_and_run(store, thread, round))
                })
            })
            .collect();
        let outcomes: Vec<_> = pullers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
        sweeper.join().unwrap();
    });
    store.prune(&[]).unwrap();
    store.recover().unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.layers, usage.snapshots, usage.other_bytes), (0, 0, 0));
    assert_eq!(store.leases().list().unwrap(), []);
}
