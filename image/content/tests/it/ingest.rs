//! Content is in the store under its digest, whole and verified, or not at all.

use std::fs;
use std::io::Read;

use base::{Classified, Digest, ErrorClass};
use content::{Error, Expected, Flaw, Ingest, Store};

use crate::{expected, needed, store};

#[test]
fn what_is_committed_is_there() {
    let (_directory, store) = store();
    let content = b"some content";
    let mut writer = needed(&store, &expected(content));
    assert!(!store.contains(&expected(content).digest).unwrap());
    writer.append(b"some ").unwrap();
    writer.append(b"content").unwrap();
    let digest = writer.commit().unwrap();
    assert_eq!(digest, Digest::sha256_of(content));
    let mut back = Vec::new();
    let mut blob = store.open_blob(&digest).unwrap();
    blob.file.read_to_end(&mut back).unwrap();
    assert_eq!((back.as_slice(), blob.size), (&content[..], 12));
    assert!(matches!(store.ingest(&expected(content)).unwrap(), Ingest::Present));
    assert_eq!(store.usage().unwrap().bytes, 12);
    assert_eq!(store.usage().unwrap().partial_bytes, 0);
}

#[test]
fn a_wrong_digest_is_refused_with_both_named() {
    let (_directory, store) = store();
    let wanted = Digest::sha256_of(b"wanted");
    let mut writer = needed(&store, &Expected { digest: wanted.clone(), size: None });
    writer.append(b"forged").unwrap();
    let error = writer.commit().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&wanted.to_string()) && text.contains(&Digest::sha256_of(b"forged").to_string()),
        "{text}"
    );
    assert_eq!(error.class(), ErrorClass::Corrupt);
    assert!(!store.contains(&wanted).unwrap());
    assert_eq!(store.partial_bytes(&wanted).unwrap(), 0, "nothing of the forgery is kept");
}

#[test]
fn a_wrong_size_is_refused_with_both_named() {
    let (_directory, store) = store();
    let wanted = Expected { digest: Digest::sha256_of(b"12345"), size: Some(5) };
    let mut writer = needed(&store, &wanted);
    writer.append(b"123").unwrap();
    let error = writer.append(b"456").unwrap_err();
    assert!(error.to_string().contains("has 6 bytes but 5 were expected"), "{error}");
    let mut writer = needed(&store, &wanted);
    assert_eq!(writer.offset(), 0, "what was too long is not kept");
    writer.append(b"123").unwrap();
    let error = writer.commit().unwrap_err();
    assert!(error.to_string().contains("has 3 bytes but 5 were expected"), "{error}");
    assert_eq!(store.partial_bytes(&wanted.digest).unwrap(), 3, "what is too short can be resumed");
}

#[test]
fn a_broken_transfer_is_resumed() {
    let (_directory, store) = store();
    let wanted = expected(b"0123456789");
    let mut writer = needed(&store, &wanted);
    writer.append(b"0123").unwrap();
    drop(writer);
    let mut writer = needed(&store, &wanted);
    assert_eq!(writer.offset(), 4);
    writer.append(b"456789").unwrap();
    writer.commit().unwrap();
}

#[test]
fn a_source_that_cannot_resume_starts_again() {
    let (_directory, store) = store();
    let wanted = expected(b"0123456789");
    let mut writer = needed(&store, &wanted);
    writer.append(b"junk").unwrap();
    drop(writer);
    let mut writer = needed(&store, &wanted);
    writer.restart().unwrap();
    writer.append(b"0123456789").unwrap();
    writer.commit().unwrap();
}

#[test]
fn two_writers_of_the_same_content_do_not_meet() {
    let (_directory, store) = store();
    let wanted = expected(b"0123456789");
    let mut first = needed(&store, &wanted);
    first.append(b"0123").unwrap();
    let mut second = needed(&store, &wanted);
    assert_eq!(second.offset(), 0, "the first one's bytes are not the second one's");
    second.append(b"0123456789").unwrap();
    second.commit().unwrap();
    first.append(b"456789").unwrap();
    first.commit().unwrap();
    assert_intact(&store, b"0123456789");
    assert_eq!(fs::read_dir(store.root().join("ingest")).unwrap().count(), 0);
}

#[test]
fn many_writers_of_the_same_content() {
    let (_directory, store) = store();
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if let Ingest::Needed(mut writer) = store.ingest(&expected(&content)).unwrap() {
                    let offset = writer.offset() as usize;
                    content[offset..].chunks(4096).for_each(|piece| writer.append(piece).unwrap());
                    writer.commit().unwrap();
                }
            });
        }
    });
    assert_intact(&store, &content);
    assert_eq!(fs::read_dir(store.root().join("ingest")).unwrap().count(), 0);
}

#[test]
fn a_second_store_value_sees_the_same() {
    let (_directory, store) = store();
    let digest = store.put(b"x").unwrap();
    let other = Store::open(store.root()).unwrap();
    assert!(other.contains(&digest).unwrap());
    assert_eq!(other.read(&digest).unwrap(), b"x");
}

#[test]
fn a_changed_blob_is_not_handed_out_as_a_document() {
    let (_directory, store) = store();
    let digest = store.put(b"{}").unwrap();
    let path = store.blob_path(&digest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "[]").unwrap();
    assert!(matches!(store.read(&digest), Err(Error::WrongDigest { .. })));
}

/// A crash of the machine may lose what was committed and not synced: such a blob is
/// verified before it is trusted.
#[test]
fn an_unsynced_blob_is_verified_after_a_crash_of_the_machine() {
    let (_directory, store) = store();
    let (whole, lost) = (store.put(b"whole").unwrap(), store.put(b"lost").unwrap());
    fs::remove_file(store.blob_path(&lost)).unwrap();
    fs::write(store.blob_path(&lost), "").unwrap();
    for note in fs::read_dir(store.root().join("unsynced")).unwrap() {
        fs::write(note.unwrap().path(), "another boot").unwrap();
    }
    assert!(store.contains(&whole).unwrap());
    assert!(!store.contains(&lost).unwrap());
    assert!(matches!(store.ingest(&expected(b"lost")).unwrap(), Ingest::Needed(_)));
    store.recover().unwrap();
    assert!(store.journal().is_empty().unwrap());
}

/// The store has just this content, which nothing holds yet.
fn assert_intact(store: &Store, content: &[u8]) {
    let (digest, bytes) = (Digest::sha256_of(content), content.len() as u64);
    assert_eq!(store.examine().unwrap(), [Flaw::Unreachable { digest, bytes }]);
}
