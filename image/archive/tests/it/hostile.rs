//! Damaged and malicious archives: an error, never a panic, never much memory.

use std::io::Read;

use archive::tar::{Extent, Header, Kind, Limits, Reader, TarError, Timestamp, Writer};
use proptest::prelude::*;

/// An archive with everything in it.
fn sample() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let long = vec![b'n'; 300];
    writer.append_empty(&Header::directory("dir")).unwrap();
    writer.append_bytes(&Header::file("dir/file", 700).with_xattr("user.a", "v"), &[1; 700]).unwrap();
    writer
        .append_bytes(&Header { mtime: Timestamp { seconds: -5, nanos: 7 }, ..Header::file(long, 3) }, b"abc")
        .unwrap();
    writer.append_empty(&Header::symlink("link", vec![b't'; 200])).unwrap();
    writer.append_empty(&Header::new("null", Kind::CharDevice { major: 1, minor: 3 }, 0o666, 0)).unwrap();
    let mut bytes = writer.finish().unwrap();
    bytes.truncate(bytes.len() - 1024);
    let map = b"1\n1000\n4\n";
    let mut data = vec![0; 512];
    data[..map.len()].copy_from_slice(map);
    data.extend(b"data");
    let records =
        ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s", "GNU.sparse.realsize=2000"];
    let records = records.map(pax);
    bytes.extend(raw("pax", b'x', &records.concat()));
    bytes.extend(raw("GNUSparseFile.0/s", b'0', &data));
    bytes.extend([0; 1024]);
    bytes
}

/// A member of any type with any content and a right check sum.
fn raw(name: &str, flag: u8, content: &[u8]) -> Vec<u8> {
    raw_sized(name, flag, content, content.len() as u64)
}

fn raw_sized(name: &str, flag: u8, content: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block.extend(content);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn pax(record: &str) -> Vec<u8> {
    let rest = record.len() + 2;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {record}\n").into_bytes()
}

/// Reads all of it, content too.
fn read(bytes: &[u8], limits: Limits) -> Result<Vec<Header>, TarError> {
    let mut reader = Reader::with_limits(bytes, limits);
    let mut headers = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        while let Some(chunk) = entry.next_chunk()? {
            let count = chunk.bytes.len();
            entry.consume(count);
        }
        headers.push(entry.into_header());
    }
    Ok(headers)
}

fn small() -> Limits {
    Limits { name_bytes: 1000, pax_bytes: 4000, extents: 100, entries: 50 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes changed anywhere, with and without the check sum made right again.
    #[test]
    fn survives_changed_bytes(changes in proptest::collection::vec((0usize..8192, any::<u8>()), 1..6), sealed in any::<bool>()) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
            if sealed {
                let start = at / 512 * 512;
                seal(&mut bytes[start..start + 512]);
            }
        }
        let _ = read(&bytes, small());
    }

    #[test]
    fn survives_any_header(header in proptest::collection::vec(any::<u8>(), 512), rest in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let mut bytes = header;
        seal(&mut bytes);
        bytes.extend(rest);
        let _ = read(&bytes, small());
    }

    #[test]
    fn survives_any_records(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'='), b'0'..=b'9', any::<u8>()], 0..300)) {
        let _ = read(&[raw("p", b'x', &text), raw("f", b'0', b"abc")].concat(), small());
    }

    #[test]
    fn every_cut_is_noticed_or_harmless(length in 0usize..8192) {
        let whole = sample();
        let cut = &whole[..length.min(whole.len())];
        if let Ok(headers) = read(cut, small()) {
            prop_assert!(cut.len().is_multiple_of(512), "cut within a block");
            prop_assert!(headers.len() <= 6);
        }
    }
}

#[test]
fn the_sample_is_whole() {
    let headers = read(&sample(), small()).unwrap();
    assert_eq!(headers.len(), 6);
    let sparse = headers.last().unwrap();
    assert_eq!((&sparse.path[..], sparse.size), (&b"s"[..], 2000));
    assert_eq!(sparse.extents, Some(vec![Extent { offset: 1000, length: 4 }]));
}

#[track_caller]
fn refused(bytes: &[u8], says: &str) {
    match read(bytes, small()) {
        Ok(headers) => panic!("was read: {headers:?}"),
        Err(error) => assert!(error.to_string().contains(says), "{error}"),
    }
}

#[test]
fn limits_hold() {
    refused(&raw_sized("p", b'x', &[], 1 << 30), "more than 4000 bytes of an extended header");
    refused(&raw_sized("p", b'L', &[], 1 << 30), "bytes of an extended header");
    refused(&raw_sized("p", b'g', &[], 1 << 33 >> 1), "bytes of an extended header");
    let long_name = [raw("L", b'L', &[b'n'; 1200]), raw("f", b'0', b"")].concat();
    refused(&long_name, "more than 1000 bytes of a name");
    refused(&raw("f", b'0', b"").repeat(51), "more than 50 entries");
    refused(&raw("p", b'x', b"").repeat(20), "headers before an entry");
    let mut map = String::from("GNU.sparse.map=");
    map.push_str(&(0..150).map(|n| format!("{},1", n * 2)).collect::<Vec<_>>().join(","));
    let records = [pax(&map), pax("GNU.sparse.size=1000")].concat();
    refused(&[raw("p", b'x', &records), raw("f", b'0', &[0; 150])].concat(), "pieces of a sparse file");
}

#[test]
fn sparse_maps_must_add_up() {
    for (map, size, stored, says) in [
        ("0,4,2,4", 100, 8, "overlap"),
        ("8,4,0,4", 100, 8, "overlap"),
        ("0,4,98,4", 100, 8, "beyond the end"),
        ("0,4,8,4", 100, 9, "stored data"),
        ("0,4,8,5", 100, 8, "stored data"),
        ("0,4,8", 100, 8, "odd number"),
        ("18446744073709551615,2", 100, 2, "64 bits"),
        ("0,18446744073709551616", 100, 2, "not one"),
    ] {
        let records =
            [pax(&format!("GNU.sparse.map={map}")), pax(&format!("GNU.sparse.size={size}"))].concat();
        refused(&[raw("p", b'x', &records), raw("f", b'0', &vec![1; stored])].concat(), says);
    }
}

/// The size of a pax record and of the header block differ: the record's counts for what
/// is skipped (CVE-2025-62518), so the entry hidden in the content stays hidden.
#[test]
fn a_pax_size_says_where_the_next_entry_is() {
    let hidden = raw("hidden", b'0', b"x");
    let content = [hidden.clone(), hidden].concat();
    let records = pax(&format!("size={}", content.len()));
    let outer = raw_sized("outer", b'0', &content, 0);
    let bytes = [raw("p", b'x', &records), outer, raw("last", b'0', b"")].concat();
    let names: Vec<_> = read(&bytes, small()).unwrap().into_iter().map(|header| header.path).collect();
    assert_eq!(names, [b"outer".to_vec(), b"last".to_vec()]);
}

#[test]
fn what_has_no_content_has_none_whatever_its_size_says() {
    for flag in *b"123456" {
        let bytes = [raw_sized("a", flag, &[], 1024), raw("b", b'0', b"")].concat();
        let names: Vec<_> = read(&bytes, small()).unwrap().into_iter().map(|header| header.path).collect();
        assert_eq!(names, [b"a".to_vec(), b"b".to_vec()], "{}", char::from(flag));
    }
}

#[test]
fn a_single_zero_block_does_not_hide_what_follows() {
    let bytes = [raw("a", b'0', b""), vec![0; 512], raw("b", b'0', b"")].concat();
    refused(&bytes, "check sum is wrong");
}

#[test]
fn the_end_needs_no_zero_blocks() {
    for zeros in [0, 512, 1024, 10240] {
        let bytes = [raw("a", b'0', b"x"), vec![0; zeros]].concat();
        assert_eq!(read(&bytes, small()).unwrap().len(), 1, "{zeros}");
    }
}

#[test]
fn an_extension_needs_its_entry() {
    refused(&raw("p", b'x', &pax("path=a")), "an entry after its extended header");
}

#[test]
fn bad_numbers_are_refused() {
    for (range, bytes, says) in [
        (124..136, &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], "size"),
        (124..136, b"9999999999\0\0", "size"),
        (108..116, b"\xff\xff\xff\xff\xff\xff\xff\xff", "owner"),
        (136..148, b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "modification time"),
        (329..337, b"\x80\0\0\x01\0\0\0\0", "device major"),
    ] {
        let mut block = raw("a", b'3', b"");
        block[range].copy_from_slice(bytes);
        seal(&mut block);
        refused(&block, says);
    }
}

#[test]
fn a_huge_size_takes_no_memory() {
    let mut reader = Reader::new(&*raw_sized("a", b'0', b"abc", (1 << 33) - 1).leak());
    let mut entry = reader.next_entry().unwrap().unwrap();
    assert!(entry.read_to_end(&mut Vec::new()).is_err());
}
