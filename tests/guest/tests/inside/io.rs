//! The disk, `/dev/vdb`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::TempDir;

use crate::container::{Container, wait_for};

const DISK: &str = "/dev/vdb";
const MIB: u64 = 1 << 20;

/// The disk's major and minor number.
pub(crate) fn disk() -> (u32, u32) {
    let number = fs::metadata(DISK).unwrap().rdev();
    (rustix::fs::major(number), rustix::fs::minor(number))
}

fn throttle(kind: &str, rate: u64) -> Value {
    let (major, minor) = disk();
    json!({ kind: [{ "major": major, "minor": minor, "rate": rate }] })
}

/// One of the disk's numbers in `io.stat`.
fn io_stat(container: &Container, key: &str) -> u64 {
    let (major, minor) = disk();
    let text = container.file("io.stat");
    let line = text.lines().find(|line| line.starts_with(&format!("{major}:{minor} "))).unwrap_or_default();
    let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {key} in io.stat:\n{text}"))
}

/// Asserts that it took as long as its limit says: v2 has no counter of it. A busy machine makes it longer, and none
/// makes it shorter.
fn assert_held_back(started: Instant, seconds: u64) {
    let took = started.elapsed();
    assert!(took.as_millis() >= u128::from(seconds) * 900, "took {took:?}, not {seconds} s");
}

#[test]
fn cg_09_reads_of_a_disk_are_limited_and_counted_on_v2() {
    let (major, minor) = disk();
    let container = Container::new("dd if=/dev/disk of=/dev/null bs=256k count=32 iflag=direct && echo done; sleep 1000")
        .limited("blockIO", throttle("throttleReadBpsDevice", 2 * MIB))
        .with(|spec| {
            spec["linux"]["devices"] =
                json!([{ "path": "/dev/disk", "type": "b", "major": major, "minor": minor, "fileMode": 0o600 }]);
            spec["linux"]["resources"]["devices"] =
                json!([{ "allow": false }, { "allow": true, "type": "b", "major": major, "minor": minor, "access": "r" }]);
        });
    let started = Instant::now();
    container.start();
    assert_eq!(
        container.file("io.max"),
        format!("{major}:{minor} rbps=2097152 wbps=max riops=max wiops=max")
    );
    wait_for("8 MiB are read", || container.printed().contains("done").then_some(()));
    assert_held_back(started, 4);
    assert_eq!(io_stat(&container, "rbytes"), 8 * MIB);
}

#[test]
fn cg_13_buffered_writes_are_limited_where_v1_cannot() {
    let scratch = Scratch::mounted();
    let rate = throttle("throttleWriteBpsDevice", 4 * MIB);
    // The page cache takes it at once; the limit counts when it goes to the disk.
    let container = Container::new(
        "dd if=/dev/zero of=/mnt/file bs=1M count=16 conv=fsync && echo done; sleep 1000",
    )
    .limited("blockIO", rate)
    .mount(json!({ "destination": "/mnt", "type": "bind", "source": scratch.0.path(), "options": ["bind"] }));
    let started = Instant::now();
    container.start();
    wait_for("16 MiB are on the disk", || container.printed().contains("done").then_some(()));
    assert_held_back(started, 4);
    assert!(
        io_stat(&container, "wbytes") >= 16 * MIB,
        "the kernel's flusher wrote on the container's account"
    );
}

/// The disk's file system.
struct Scratch(TempDir);

impl Scratch {
    fn mounted() -> Self {
        let dir = TempDir::new();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount(DISK, dir.path(), "ext4", flags, None).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0.join("file"));
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}
