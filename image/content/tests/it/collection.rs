//! What is reached stays, everything else goes.

use std::fs;
use std::io::Write;

use base::Digest;
use content::{Flaw, LeaseKind};
use oci_spec::image::{Descriptor, MediaType};

use crate::images::{blobs, pull};
use crate::{expected, needed, store};

#[test]
fn shared_content_stays_for_the_other_image() {
    let (_directory, store) = store();
    pull(&store, "a", &["shared", "only-a"]).unwrap();
    pull(&store, "b", &["shared", "only-b"]).unwrap();
    assert_eq!(store.gc().unwrap().blobs, []);
    let before = store.usage().unwrap();
    assert_eq!(before.blobs, 3 + 2 + 2, "the shared layer is there once");
    store.remove_name("a").unwrap();
    let collected = store.gc().unwrap();
    assert_eq!(collected.blobs.len(), 3, "its own layer, its configuration, its manifest");
    let after = store.usage().unwrap();
    assert_eq!(before.bytes - after.bytes, collected.bytes);
    assert_eq!(store.missing(&store.name("b").unwrap().target.digest).unwrap(), []);
    store.remove_name("b").unwrap();
    store.gc().unwrap();
    assert_eq!(store.usage().unwrap().blobs, 0);
}

#[test]
fn an_index_keeps_what_is_there_of_it() {
    let (_directory, store) = store();
    let manifest = pull(&store, "a", &["x"]).unwrap();
    let present = Descriptor::new(MediaType::from(MediaType::OCI_MANIFEST), manifest, 1);
    let absent = Descriptor::of(MediaType::from(MediaType::OCI_MANIFEST), b"other platform");
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [present, absent]});
    let digest = store.put(&serde_json::to_vec(&index).unwrap()).unwrap();
    store
        .set_name(
            "multi",
            &Descriptor::new(MediaType::from(MediaType::OCI_INDEX), digest.clone(), 1),
            &Default::default(),
        )
        .unwrap();
    store.remove_name("a").unwrap();
    assert_eq!(store.gc().unwrap().blobs, []);
    assert_eq!(store.missing(&digest).unwrap(), []);
    assert_eq!(store.examine().unwrap(), []);
}

#[test]
fn a_lease_protects_until_it_goes() {
    let (_directory, store) = store();
    let lease = store.lease("pull", LeaseKind::WhileHeld).unwrap();
    let digest = Digest::sha256_of(b"x");
    lease.add(&digest).unwrap();
    store.put(b"x").unwrap();
    store.put(b"y").unwrap();
    assert_eq!(store.gc().unwrap().blobs, [Digest::sha256_of(b"y")]);
    assert!(store.leases().list().unwrap()[0].live);
    drop(lease);
    assert_eq!(store.gc().unwrap().blobs, [digest]);
    assert_eq!(store.leases().list().unwrap(), []);
}

#[test]
fn a_lease_on_a_manifest_protects_its_image() {
    let (_directory, store) = store();
    let all = blobs("a", &["x", "y"]);
    all.iter().for_each(|blob| drop(store.put(blob).unwrap()));
    let lease = store.lease("run.1", LeaseKind::UntilReleased).unwrap();
    lease.add(&Digest::sha256_of(all.last().unwrap())).unwrap();
    drop(lease);
    assert_eq!(store.gc().unwrap().blobs, []);
    assert!(store.leases().release("run.1").unwrap());
    assert!(!store.leases().release("run.1").unwrap());
    assert_eq!(store.gc().unwrap().blobs.len(), 4);
}

#[test]
fn two_holders_of_one_lease() {
    let (_directory, store) = store();
    let first = store.lease("same", LeaseKind::WhileHeld).unwrap();
    let second = store.lease("same", LeaseKind::WhileHeld).unwrap();
    let digest = store.put(b"x").unwrap();
    first.add(&digest).unwrap();
    drop(first);
    assert_eq!(store.gc().unwrap().blobs, []);
    drop(second);
    assert_eq!(store.gc().unwrap().blobs, [digest]);
}

#[test]
fn lease_ids_cannot_leave_their_directory() {
    let (_directory, store) = store();
    for id in ["", "../x", "a/b", ".", ".hidden", "a b", &"x".repeat(201)] {
        assert!(store.lease(id, LeaseKind::WhileHeld).is_err(), "{id}");
        assert!(!store.leases().release(id).unwrap_or(false), "{id}");
    }
}

#[test]
fn a_transfer_in_progress_is_left_alone() {
    let (_directory, store) = store();
    let mut writer = needed(&store, &expected(b"0123456789"));
    writer.append(b"01234").unwrap();
    let mut broken = needed(&store, &expected(b"broken off"));
    broken.append(b"bro").unwrap();
    drop(broken);
    let collected = store.gc().unwrap();
    assert_eq!((collected.partials, collected.bytes), (1, 3));
    writer.append(b"56789").unwrap();
    writer.commit().unwrap();
}

#[test]
fn a_check_finds_and_removes_damage() {
    let (_directory, store) = store();
    let image = pull(&store, "a", &["x"]).unwrap();
    let layer = Digest::sha256_of(&blobs("a", &["x"])[0]);
    let path = store.blob_path(&layer);
    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().write_all(b"damage").unwrap();
    let actual = Digest::sha256_of(b"damage");
    let damaged = Flaw::Damaged { digest: layer.clone(), actual };
    assert_eq!(store.examine().unwrap(), std::slice::from_ref(&damaged));
    store.mend(&damaged).unwrap();
    let missing = Flaw::Missing { name: "a".to_owned(), digest: layer.clone() };
    assert_eq!(store.examine().unwrap(), [missing]);
    assert_eq!(store.missing(&image).unwrap(), [layer]);
    pull(&store, "a", &["x"]).unwrap();
    assert_eq!(store.examine().unwrap(), []);
}
