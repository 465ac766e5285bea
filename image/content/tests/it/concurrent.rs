//! Pulls, removals and collections at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::images::pull;
use crate::store;

#[test]
fn nobody_gets_in_anothers_way() {
    let (_directory, store) = store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.gc().unwrap();
                store.recover().unwrap();
            }
        });
        let pull_and_remove = |thread: usize| {
            for round in 0..60 {
                let name = format!("{thread}.{round}");
                let own = format!("own-{}", thread % 2);
                let digest = pull(&store, &name, &["shared", &own]).unwrap();
                assert_eq!(store.missing(&digest).unwrap(), []);
                assert!(store.remove_name(&name).unwrap());
            }
        };
        let pullers: Vec<_> = (0..4).map(|thread| scope.spawn(move || pull_and_remove(thread))).collect();
        let outcomes: Vec<_> = pullers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
        sweeper.join().unwrap();
    });
    store.gc().unwrap();
    assert_eq!(store.usage().unwrap(), content::Usage::default());
    assert_eq!(store.leases().list().unwrap(), []);
}
