//! A flipped bit, a cut, lost or exchanged file is noticed, or does not matter; a wrong value is
//! never served.

use store::{Error, KeyValue, Store, Txn};

use crate::disk::{Image, Memory};
use crate::random::Random;
use crate::{all, open_on};

/// Some segments, all with something that matters.
fn filled() -> (Image, Vec<KeyValue>) {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    for number in 0..300 {
        let value = format!("value {number} {}", "x".repeat(number % 200));
        store.txn(Txn::put(format!("k{}", number % 150), value)).unwrap();
    }
    let kvs = all(&store);
    drop(store);
    let image = disk.image();
    assert!(image.len() > 3, "{:?}", image.keys());
    (image, kvs)
}

/// Whether the damage was noticed; if not, everything must be as it was.
fn noticed(image: &Image, expected: &[KeyValue]) -> bool {
    match open_on(&Memory::of(image)) {
        Ok(store) => {
            assert_eq!(all(&store), expected, "a wrong value was served");
            false
        }
        Err(error) => {
            assert_eq!(base::Classified::class(&error), base::ErrorClass::Corrupt, "{error}");
            true
        }
    }
}

/// A file and a place in it, by chance.
fn somewhere(image: &Image, random: &mut Random) -> (String, usize) {
    let total: usize = image.values().map(Vec::len).sum();
    let mut at = random.below(total as u64) as usize;
    for (name, content) in image {
        if at < content.len() {
            return (name.clone(), at);
        }
        at -= content.len();
    }
    panic!("the image has no bytes")
}

fn flipped(image: &Image, name: &str, byte: usize, bit: u64) -> Image {
    let mut damaged = image.clone();
    damaged.get_mut(name).unwrap()[byte] ^= 1 << bit;
    damaged
}

#[test]
fn a_flipped_bit_never_changes_what_is_served() {
    let (image, expected) = filled();
    let mut random = Random::new(3);
    let (mut found, mut used) = (0, 0);
    for _ in 0..1000 {
        let (name, byte) = somewhere(&image, &mut random);
        let seen = noticed(&flipped(&image, &name, byte, random.below(8)), &expected);
        found += usize::from(seen);
        // Zeros stand before, between and after what is used; everything else is.
        if image[&name][byte] != 0 {
            used += 1;
            assert!(seen, "a flip at byte {byte} of {name}");
        }
    }
    assert!(found > 300 && used > 300, "{found}, {used}");
}

/// Each bit of the newest frame, which no other one vouches for, in stores that were killed.
#[test]
fn a_flip_in_the_newest_frame_is_no_torn_write() {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    store.txn(Txn::put("a", "1")).unwrap();
    let value = [vec![b'x'; 700], vec![0; 1500], vec![b'y'; 100]].concat();
    store.txn(Txn::put("a", value)).unwrap();
    let (image, expected) = (disk.image(), all(&store));
    let (name, content) = image.first_key_value().unwrap();
    let frame = content.windows(4).rposition(|magic| magic == b"slf1").unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap();
    for byte in frame..=end {
        let damaged = flipped(&image, name, byte, byte as u64 % 8);
        let error = open_on(&Memory::of(&damaged)).unwrap_err();
        assert!(matches!(error, Error::DamagedFile { .. }), "byte {byte}: {error}");
    }
    // Lost sectors are: what was there before comes back.
    for sector in (frame / 512 + 1)..=end / 512 {
        let mut torn = image.clone();
        let lost = sector * 512..(sector + 1) * 512;
        if content[lost.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        torn.get_mut(name).unwrap()[lost].fill(0);
        let disk = Memory::of(&torn);
        let again = open_on(&disk).unwrap();
        assert_eq!(all(&again)[0].value, "1", "sector {sector}");
        again.txn(Txn::put("a", "3")).unwrap();
        drop(again);
        assert_eq!(all(&open_on(&disk).unwrap())[0].value, "3", "sector {sector}");
    }
    assert_eq!(all(&open_on(&Memory::of(&image)).unwrap()), expected);
}

/// So many records that several threads read them at a start.
#[test]
fn a_flip_in_a_large_store_is_noticed() {
    let disk = Memory::new();
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
    let again = open_on(&Memory::of(&image)).unwrap();
    assert_eq!((all(&again), old(&again)), (expected.clone(), history));
    for value in [&b"value 0 0"[..], b"value 3123 1", b"value 5999 2"] {
        let mut found = 0;
        for (name, content) in &image {
            for at in (0..content.len().saturating_sub(12)).filter(|at| content[*at..].starts_with(value)) {
                assert!(noticed(&flipped(&image, name, at + 3, 2), &expected), "{name} at {at}");
                found += 1;
            }
        }
        assert!(found > 0, "the value is not there");
    }
}

#[test]
fn a_cut_file_is_noticed() {
    let (image, expected) = filled();
    let mut random = Random::new(4);
    for _ in 0..100 {
        let (name, len) = somewhere(&image, &mut random);
        let mut damaged = image.clone();
        damaged.get_mut(&name).unwrap().truncate(len);
        // One that was made ready and never used can go.
        let unused = image[&name].iter().all(|byte| *byte == 0);
        assert_eq!(noticed(&damaged, &expected), !unused || len < 512, "{name} cut to {len} bytes");
    }
}

#[test]
fn a_file_that_is_missing_or_another_is_noticed_and_named() {
    let (image, expected) = filled();
    let (other, _) = filled();
    let used: Vec<&String> =
        image.iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).map(|(name, _)| name).collect();
    let refused = |image: &Image, file: &str, says: &str| {
        let error = open_on(&Memory::of(image)).unwrap_err();
        let Error::DamagedFile { what, file: named, .. } = &error else { panic!("{error:?}") };
        assert!(named == file && what.contains(says), "{error}");
    };
    for (at, name) in used.iter().enumerate() {
        let mut damaged = image.clone();
        damaged.remove(*name);
        match used.get(at + 1) {
            Some(_) => refused(&damaged, name, "missing"),
            // The next one may have been made ready already: then that is how one sees it.
            None if image.len() > used.len() => refused(&damaged, name, "missing"),
            None => refused(&damaged, used[at - 1], "the segment after it is missing"),
        }
        let mut damaged = image.clone();
        damaged.insert((*name).clone(), other[*name].clone());
        assert!(noticed(&damaged, &expected), "{name} of another store");
    }
    let mut damaged = image.clone();
    let (first, second) = (image[used[1]].clone(), image[used[2]].clone());
    damaged.insert(used[1].clone(), second);
    damaged.insert(used[2].clone(), first);
    refused(&damaged, used[1], "another segment than its name says");
    let mut damaged = image.clone();
    damaged.insert(used[1].clone(), other[used[1]].clone());
    refused(&damaged, used[1], "another store");
}

/// The disk said that a frame was there, and it was not.
#[test]
fn a_frame_that_is_missing_in_the_middle_is_noticed() {
    let (image, expected) = filled();
    for (name, content) in &image {
        let frames: Vec<usize> =
            (0..content.len()).step_by(64).filter(|at| content[*at..].starts_with(b"slf1")).collect();
        for pair in frames.windows(2) {
            let mut damaged = image.clone();
            damaged.get_mut(name).unwrap()[pair[0]..pair[1]].fill(0);
            assert!(noticed(&damaged, &expected), "{name}: the frame at {}", pair[0]);
        }
    }
}

/// The bit flips under a running store: the read fails, it does not lie.
#[test]
fn a_flip_under_a_running_store_fails_the_read() {
    let (image, expected) = filled();
    let disk = Memory::of(&image);
    let store = open_on(&disk).unwrap();
    let mut flips = 0;
    for (name, content) in &image {
        for at in (0..content.len().saturating_sub(9)).filter(|at| content[*at..].starts_with(b"value 299")) {
            disk.damage(name, |bytes| bytes[at] ^= 1);
            flips += 1;
        }
    }
    assert!(flips > 0);
    let error = store.range(&store::RangeRequest::new(store::KeyRange::all())).unwrap_err();
    assert_eq!(base::Classified::class(&error), base::ErrorClass::Corrupt);
    let request = store::RangeRequest::new(store::KeyRange::one("k7"));
    let whole: Vec<_> = expected.iter().filter(|kv| kv.key == "k7").cloned().collect();
    assert_eq!(store.range(&request).unwrap().kvs, whole, "others are served");
}
