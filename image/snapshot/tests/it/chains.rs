//! Layers are stored once, kept while they are needed, trusted when they are whole.

use std::fs;

use base::Digest;
use content::LeaseKind;
use snapshot::{Hashing, Limits};

use crate::tree::show_chain;
use crate::{add, chain, key, layer, spec, stage, store};

/// FS-01: two images share their base.
#[test]
fn fs_01_a_shared_base_is_stored_once() {
    let (_directory, store) = store();
    let first = chain(&store, &["base=1 d/ d/x=1", "first=1"]);
    let before = store.usage().unwrap();
    let second = chain(&store, &["base=1 d/ d/x=1", "second=1"]);
    let after = store.usage().unwrap();
    assert_eq!((before.layers, after.layers), (2, 3));
    let own = store.layers(&second).unwrap().pop().unwrap();
    assert_eq!(own.bytes, 1);
    assert!(after.layer_bytes - before.layer_bytes <= 16 << 10, "only the second image's own layer is new");
    assert_eq!(store.layers(&first).unwrap()[0], store.layers(&second).unwrap()[0]);
    assert_eq!(show_chain(&store, &second), "base=1 d/ d/x=1 second=1");
}

#[test]
fn a_layer_on_another_base_is_shared_when_it_fits() {
    let (_directory, store) = store();
    let one = chain(&store, &["base=1", "app/ app/x=1"]);
    let other = chain(&store, &["other=1"]);
    let app = spec(&layer("app/ app/x=1"));
    assert!(store.has_shareable(&app.diff_id).unwrap());
    let shared = store.share(&app, Some(&other)).unwrap().unwrap();
    assert_eq!(shared.path, store.layers(&one).unwrap()[1].path);
    assert_eq!(show_chain(&store, &shared.chain_id), "app/ app/x=1 other=1");
    assert_eq!(store.usage().unwrap().layers, 3);
    // The layer goes with its last chain.
    store.prune(std::slice::from_ref(&shared.chain_id)).unwrap();
    assert_eq!(show_chain(&store, &shared.chain_id), "app/ app/x=1 other=1");
    store.prune(&[]).unwrap();
    assert_eq!(store.usage().unwrap().layers, 0);
}

#[test]
fn a_layer_that_depends_on_its_base_is_not_shared() {
    for text in ["app/x=1", ".wh.base", "d/.wh..wh..opq", "l=>base"] {
        let (_directory, store) = store();
        chain(&store, &["base=1 d/ d/y=1", text]);
        let other = chain(&store, &["base=2"]);
        assert_eq!(store.share(&spec(&layer(text)), Some(&other)).unwrap(), None, "{text}");
    }
}

#[test]
fn chain_ids_are_the_specifications() {
    let (_directory, store) = store();
    let (base, top) = (layer("a=1"), layer("b=1"));
    let first = add(&store, &base, None).unwrap();
    let second = add(&store, &top, Some(&first.chain_id)).unwrap();
    assert_eq!(first.chain_id, Digest::sha256_of(&base));
    let text = format!("{} {}", Digest::sha256_of(&base), Digest::sha256_of(&top));
    assert_eq!(second.chain_id, Digest::sha256_of(text.as_bytes()));
}

#[test]
fn layers_unpack_at_the_same_time() {
    let (_directory, store) = store();
    let archives: Vec<Vec<u8>> = (0..6).map(|n| layer(&format!("d/ d/f{n}={n} same={n}"))).collect();
    let staged: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            archives.iter().map(|archive| scope.spawn(|| stage(&store, archive).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut parent = None;
    for staged in staged {
        parent = Some(store.commit(staged, parent.as_ref()).unwrap().chain_id);
    }
    assert_eq!(show_chain(&store, &parent.unwrap()), "d/ d/f0=0 d/f1=1 d/f2=2 d/f3=3 d/f4=4 d/f5=5 same=5");
}

#[test]
fn the_same_layer_from_two_pulls() {
    let (_directory, store) = store();
    let archive = layer("a=1");
    let (one, other) = (stage(&store, &archive).unwrap(), stage(&store, &archive).unwrap());
    let first = store.commit(one, None).unwrap();
    assert_eq!(store.commit(other, None).unwrap(), first);
    assert_eq!(store.usage().unwrap().layers, 1);
    assert_eq!(store.usage().unwrap().other_bytes, 0);
}

#[test]
fn what_is_used_stays() {
    let (_directory, store) = store();
    let kept = chain(&store, &["base=1", "kept=1"]);
    let used = chain(&store, &["base=1", "used=1"]);
    let leased = chain(&store, &["base=1", "leased=1"]);
    let gone = chain(&store, &["base=1", "gone=1"]);
    store.prepare(&key("c"), Some(&used), None).unwrap();
    let lease = store.leases().take("pull", LeaseKind::WhileHeld).unwrap();
    lease.add(&leased).unwrap();
    assert_eq!(store.prune(std::slice::from_ref(&kept)).unwrap().chains, [gone]);
    drop(lease);
    store.remove(&key("c")).unwrap();
    let pruned = store.prune(std::slice::from_ref(&kept)).unwrap();
    assert_eq!((pruned.chains.len(), pruned.bytes), (2, 2));
    assert_eq!(show_chain(&store, &kept), "base=1 kept=1");
    store.prune(&[]).unwrap();
    store.empty_trash().unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.layers, usage.layer_bytes, usage.other_bytes), (0, 0, 0));
}

/// A crash of the machine may lose what was unpacked and not synced.
#[test]
fn unsynced_layers_are_dropped_after_a_crash_of_the_machine() {
    let (_directory, store) = store();
    let synced = chain(&store, &["synced=1"]);
    store.sync().unwrap();
    let archive = layer("lost=1");
    let lost = add(&store, &archive, Some(&synced)).unwrap();
    let above = add(&store, &layer("above=1"), Some(&lost.chain_id)).unwrap();
    for chain in [&lost.chain_id, &above.chain_id] {
        fs::write(store.root().join("unsynced").join(chain.hex()), "another boot").unwrap();
    }
    assert!(store.contains(&synced).unwrap());
    assert!(!store.contains(&lost.chain_id).unwrap());
    // It is simply unpacked again, even without a recovery.
    let again = store.stage(&spec(&archive), Hashing::new(&archive[..]), &Limits::default()).unwrap();
    let again = store.commit(again, Some(&synced)).unwrap();
    assert_eq!(show_chain(&store, &again.chain_id), "lost=1 synced=1");
    store.recover().unwrap();
    assert!(!store.contains(&above.chain_id).unwrap());
    assert_eq!(store.usage().unwrap().layers, 2, "the lost layers are gone");
}

#[test]
fn a_sync_settles_what_was_committed() {
    let (_directory, store) = store();
    chain(&store, &["a=1", "b=1"]);
    assert!(!store.journal().is_empty().unwrap());
    store.sync().unwrap();
    assert!(store.journal().is_empty().unwrap());
}

#[test]
fn a_parent_must_be_there() {
    let (_directory, store) = store();
    let error = add(&store, &layer("d/x=1"), Some(&Digest::sha256_of(b"absent"))).unwrap_err();
    assert!(error.to_string().contains("are not unpacked"), "{error}");
    let error = add(&store, &layer("x=1"), Some(&Digest::sha256_of(b"absent"))).unwrap_err();
    assert!(error.to_string().contains("are not unpacked"), "{error}");
    assert_eq!(store.usage().unwrap().layers, 0);
}
