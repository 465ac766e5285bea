//! What is written is read back.

use std::io::Read;

use archive::tar::{Header, Kind, Reader, Timestamp, Writer, Xattr};
use proptest::prelude::*;

fn name(max: usize) -> impl Strategy<Value = Vec<u8>> {
    // Long ones, with slashes, not ASCII, not even UTF-8; never a NUL byte.
    let byte = prop_oneof![4 => b'a'..=b'z', 1 => Just(b'/'), 1 => 1u8..=255];
    proptest::collection::vec(byte, 1..max)
}

fn kind() -> impl Strategy<Value = Kind> {
    let number = 0..1u32 << 20;
    prop_oneof![
        3 => Just(Kind::File),
        1 => Just(Kind::HardLink),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::Directory),
        1 => Just(Kind::Fifo),
        1 => (number.clone(), number.clone()).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        1 => (number.clone(), number).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![0..2_000_000_000i64, -5_000_000_000..5_000_000_000i64, 0..1i64 << 40];
    (seconds, prop_oneof![Just(0), 0..1_000_000_000u32])
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

prop_compose! {
    fn entry()(
        path in name(400),
        kind in kind(),
        link in name(300),
        mode in 0..0o10000u32,
        uid in prop_oneof![0..70_000u64, 0..1u64 << 33],
        gid in prop_oneof![0..70_000u64, 0..1u64 << 33],
        user in proptest::collection::vec(1u8..=255, 0..40),
        mtime in time(),
        content in proptest::collection::vec(any::<u8>(), 0..3000),
        xattrs in proptest::collection::btree_map("[a-z]{1,9}\\.[a-z.]{1,9}", proptest::collection::vec(any::<u8>(), 0..50), 0..4),
    ) -> (Header, Vec<u8>) {
        let mut header = Header::new(path, kind, mode, 0);
        let content = if kind == Kind::File { content } else { Vec::new() };
        header.size = content.len() as u64;
        if kind == Kind::Directory && !header.path.ends_with(b"/") {
            header.path.push(b'/');
        }
        if matches!(kind, Kind::HardLink | Kind::Symlink) {
            header.link = link;
        }
        (header.uid, header.gid, header.user, header.mtime) = (uid, gid, user, mtime);
        header.xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name: name.into(), value }).collect();
        (header, content)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_everything(entries in proptest::collection::vec(entry(), 0..8)) {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in &entries {
            writer.append_bytes(header, content).unwrap();
        }
        let bytes = writer.finish().unwrap();
        prop_assert_eq!(bytes.len() % 512, 0);
        let mut reader = Reader::new(&bytes[..]);
        for (header, content) in &entries {
            let mut entry = reader.next_entry().unwrap().unwrap();
            prop_assert_eq!(entry.header(), header);
            let mut back = Vec::new();
            entry.read_to_end(&mut back).unwrap();
            prop_assert_eq!(&back, content);
        }
        prop_assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn skips_what_is_not_read(entries in proptest::collection::vec(entry(), 0..8)) {
        let mut writer = Writer::new(Vec::new());
        for (header, content) in &entries {
            writer.append_bytes(header, content).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let mut paths = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            paths.push(entry.into_header().path);
        }
        prop_assert_eq!(paths, entries.into_iter().map(|(header, _)| header.path).collect::<Vec<_>>());
        reader.drain().unwrap();
        prop_assert_eq!(reader.offset(), bytes.len() as u64);
    }
}

#[test]
fn equal_entries_give_equal_bytes() {
    let archive = || {
        let mut writer = Writer::new(Vec::new());
        let header = Header::file("a", 1).with_xattr("user.b", "2").with_xattr("user.a", "1");
        writer.append_bytes(&header, b"x").unwrap();
        writer.finish().unwrap()
    };
    assert_eq!(archive(), archive());
}

#[test]
fn content_must_be_as_long_as_its_header_says() {
    let mut writer = Writer::new(Vec::new());
    let error = writer.append_bytes(&Header::file("short", 3), b"ab").unwrap_err();
    assert!(error.to_string().contains("\"short\" has 2 bytes but its header says 3"), "{error}");
}

#[test]
fn refuses_names_that_the_format_cannot_hold() {
    for header in [
        Header::file("", 0),
        Header::file("a\0b", 0),
        Header::symlink("a", "b\0"),
        Header::file("a", 0).with_xattr("a=b", ""),
    ] {
        assert!(Writer::new(Vec::new()).append_empty(&header).is_err(), "{header:?}");
    }
}
