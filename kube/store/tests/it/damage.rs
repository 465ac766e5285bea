//! A flipped bit or a cut file is noticed, or does not matter; a wrong value is never served.

use std::panic::{AssertUnwindSafe, catch_unwind};

use store::{KeyValue, Store, Txn};

use crate::disk::Memory;
use crate::random::Random;
use crate::{all, open_on};

fn filled() -> (Vec<u8>, Vec<KeyValue>) {
    let disk = Memory::new(Vec::new());
    let store = open_on(&disk).unwrap();
    for number in 0..300 {
        let value = format!("value {number} {}", "x".repeat(number % 200));
        store.txn(Txn::put(format!("k{}", number % 150), value)).unwrap();
    }
    let kvs = all(&store);
    drop(store);
    (disk.image(), kvs)
}

/// Whether the damage was noticed; if not, everything must be as it was.
fn noticed(image: Vec<u8>, expected: &[KeyValue]) -> bool {
    let seen = catch_unwind(AssertUnwindSafe(|| {
        let store = open_on(&Memory::new(image)).ok()?;
        Some(all(&store))
    }));
    match seen {
        // redb itself gives up on some broken pages; the process ends and serves nothing.
        Err(_) | Ok(None) => true,
        Ok(Some(kvs)) => {
            assert_eq!(kvs, expected, "a wrong value was served");
            false
        }
    }
}

#[test]
fn a_flipped_bit_never_changes_what_is_served() {
    let (image, expected) = filled();
    let mut random = Random::new(3);
    let mut found = 0;
    for _ in 0..1000 {
        let mut damaged = image.clone();
        let bit = random.below(image.len() as u64 * 8) as usize;
        damaged[bit / 8] ^= 1 << (bit % 8);
        found += usize::from(noticed(damaged, &expected));
    }
    assert!(found > 0, "some flips hit records");
}

#[test]
fn a_flip_in_any_record_is_noticed() {
    let (image, expected) = filled();
    // The last value stands in a live page; older copies of that page are free space.
    let at: Vec<usize> = (0..image.len() - 9).filter(|at| image[*at..].starts_with(b"value 299")).collect();
    assert!(!at.is_empty());
    let found = at.iter().filter(|at| {
        let mut damaged = image.clone();
        damaged[**at + 3] ^= 4;
        noticed(damaged, &expected)
    });
    assert!(found.count() >= 1, "the live copy was not looked at");
}

/// So many records that several threads read them at a start.
#[test]
fn a_flip_in_a_large_store_is_noticed() {
    let disk = Memory::new(Vec::new());
    let store = open_on(&disk).unwrap();
    for revision in 0..6000 {
        let values = (0..3).map(|part| {
            store::Op::put(format!("k{}-{part}", revision % 2000), format!("value {revision} {part}"))
        });
        store.submit(Txn::ops(values.collect::<Vec<_>>()), |result| drop(result.unwrap()));
    }
    store.txn(Txn::put("last", "1")).unwrap();
    let expected = all(&store);
    let old = |store: &store::Embedded| store.history(b"k77-1").unwrap();
    let history = old(&store);
    assert_eq!(history.len(), 3);
    drop(store);
    let image = disk.image();
    let again = open_on(&Memory::new(image.clone())).unwrap();
    assert_eq!((all(&again), old(&again)), (expected.clone(), history));
    for value in [&b"value 0 0"[..], b"value 3123 1", b"value 5999 2"] {
        let at: Vec<usize> = (0..image.len() - 12).filter(|at| image[*at..].starts_with(value)).collect();
        let found = at.iter().any(|at| {
            let mut damaged = image.clone();
            damaged[at + 3] ^= 4;
            noticed(damaged, &expected)
        });
        assert!(found, "a live copy among {at:?} was not looked at");
    }
}

#[test]
fn a_cut_file_is_noticed() {
    let (image, expected) = filled();
    let mut random = Random::new(4);
    for _ in 0..100 {
        let len = 1 + random.below(image.len() as u64 - 1) as usize;
        assert!(noticed(image[..len].to_vec(), &expected), "cut to {len} bytes");
    }
}

/// The bit flips under a running store: the read fails, it does not lie.
#[test]
fn a_flip_under_a_running_store_fails_the_read() {
    let (image, expected) = filled();
    let disk = Memory::new(image.clone());
    let options = store::Options { cache_bytes: 0, ..crate::options() };
    let now = std::time::Instant::now();
    let store =
        store::Embedded::open_on(disk.clone(), std::path::Path::new("memory"), &options, now).unwrap();
    for at in (0..image.len() - 9).filter(|at| image[*at..].starts_with(b"value 299")) {
        disk.flip(at * 8);
    }
    let request = store::RangeRequest::new(store::KeyRange::all());
    match store.range(&request) {
        Ok(seen) => assert_eq!(seen.kvs, expected),
        Err(error) => assert_eq!(base::Classified::class(&error), base::ErrorClass::Corrupt),
    }
}
