//! SIGKILL at each failpoint: everything acknowledged is there, the revision never goes back.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{
    Control, Disk, Embedded, Error, FAILPOINTS, KeyRange, LeaseId, Online, Op, Options, Revision,
    SOCKET_NAME, Storage, StorageFile, Store, Txn, check,
};

use testkit::Dying;

use crate::{all, open, options};

/// How the child writes.
#[derive(Clone, Copy, Debug)]
enum Traffic {
    /// One write at a time.
    Single,
    /// Several writes wait for the same syncs.
    Bursts,
    /// One at a time, each over several pages.
    Large,
}

impl Traffic {
    fn parse(name: &str) -> Self {
        match name {
            "Single" => Self::Single,
            "Bursts" => Self::Bursts,
            "Large" => Self::Large,
            _ => panic!("{name}"),
        }
    }

    /// Writes that are under way at a time.
    fn at_once(self) -> u64 {
        if matches!(self, Self::Bursts) { 6 } else { 1 }
    }

    fn value(self, number: u64) -> String {
        let padding = if matches!(self, Self::Large) { 20_000 } else { 0 };
        format!("v{number}{}", "x".repeat(padding))
    }

    fn txn(self, number: u64) -> Txn {
        let (key, value) = (key(number), self.value(number));
        match number % 5 {
            0 => Txn::ops([Op::put(key.clone(), value.clone()), Op::put(format!("{key}b"), value)]),
            4 => Txn::delete(KeyRange::one(key)),
            _ => Txn::put(key, value),
        }
    }

    /// What there is after so many writes.
    fn model(self, through: u64) -> BTreeMap<String, String> {
        let mut model = BTreeMap::new();
        for number in 0..through {
            let (key, value) = (key(number), self.value(number));
            match number % 5 {
                0 => {
                    model.insert(key.clone(), value.clone());
                    model.insert(format!("{key}b"), value);
                }
                4 => drop(model.remove(&key)),
                _ => drop(model.insert(key, value)),
            }
        }
        model
    }
}

fn key(number: u64) -> String {
    format!("k{}", number % 7)
}

/// The process that dies. Without a plan it is a test of nothing, and says so by its name.
#[test]
fn child_of_the_crash_test() {
    let Some(Dying { point, work, .. }) = Dying::here() else { return };
    let (traffic, directory) = work.split_once(' ').unwrap();
    let traffic = Traffic::parse(traffic);
    let directory = Path::new(directory);
    let path = directory.join("store");
    // So small that some segments are filled, and put together.
    let options = Options { segment_bytes: 2048, ..options() };
    drop(Embedded::open(&path, &options, Instant::now()).unwrap());
    let disk = Arc::new(Filling { disk: Disk::open(&path).unwrap(), full: Arc::default() });
    let store = Arc::new(Embedded::open_on(disk.clone(), &path, &options, Instant::now()).unwrap());
    let control = Control::listen(Arc::clone(&store), &directory.join(SOCKET_NAME)).unwrap();
    // libtest captures print!, not writes to the descriptor.
    let mut out = io::stderr();
    for first in (0..60).step_by(traffic.at_once() as usize) {
        let under_way = (first..first + traffic.at_once()).map(|number| {
            let (send, answer) = std::sync::mpsc::channel();
            store.submit(traffic.txn(number), move |result| drop(send.send(result)));
            (number, answer)
        });
        for (number, answer) in under_way.collect::<Vec<_>>() {
            let revision = answer.recv().unwrap().unwrap().revision;
            // In one write: stderr has no buffer, and death between two pieces would tear the line.
            out.write_all(format!("acknowledged {number} {revision}\n").as_bytes()).unwrap();
            care(&store, traffic, number, revision, directory);
        }
        // When no other write is under way: it would be refused too.
        if first == 30 && point.starts_with("store.mend") {
            fill_and_mend(&store, &disk, traffic);
        }
    }
    drop((control, store));
    out.write_all(b"finished\n").unwrap();
}

/// What an owner does beside the writes.
fn care(store: &Embedded, traffic: Traffic, number: u64, revision: Revision, directory: &Path) {
    if number % 15 == 14 {
        store.compact(Revision(revision.0 - 5)).unwrap();
    }
    match number {
        20 => store.lease_grant(LeaseId(1), Duration::from_secs(60), Instant::now()).unwrap(),
        25 => drop(store.lease_revoke(LeaseId(1)).unwrap()),
        40 => drop(store.backup(&directory.join("backup")).unwrap()),
        // What is compacted away goes in the background. In bursts the second segment may still be the
        // newest, which stays: writes go on until it is not. What they write is there already.
        45 => {
            let second = directory.join("store/00000001.log");
            assert!(testkit::wait_until(Duration::from_secs(20), || {
                store.txn(Txn::put(key(43), traffic.value(43))).unwrap();
                store.compact(store.revision()).unwrap();
                !second.exists()
            }));
        }
        50 => {
            let online = Online::connect(directory).unwrap().unwrap();
            online.backup(&directory.join("online"), |_, _| {}).unwrap();
        }
        _ => {}
    }
}

fn fill_and_mend(store: &Embedded, disk: &Filling, traffic: Traffic) {
    let refused = |write: &dyn Fn() -> Result<(), Error>| {
        disk.full.store(true, Ordering::SeqCst);
        let answer = write();
        // Who makes blocks ready beforehand may have met it first.
        assert!(matches!(answer, Err(Error::Full { .. } | Error::ReadOnly { .. })), "{answer:?}");
        disk.full.store(false, Ordering::SeqCst);
        // It takes a second until space is looked for.
        assert!(testkit::wait_until(Duration::from_secs(20), || store.failure().is_none()));
    };
    // There is room for it in the segment: it fails half done.
    refused(&|| store.lease_grant(LeaseId(2), Duration::from_secs(60), Instant::now()));
    // What it would write is there already: the model needs not know whether it does.
    refused(&|| store.txn(Txn::put(key(30), traffic.value(30))).map(drop));
}

/// A directory on a disk that can be full.
#[derive(Debug)]
struct Filling {
    disk: Disk,
    full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FillingFile {
    file: Arc<dyn StorageFile>,
    full: Arc<AtomicBool>,
}

fn check_space(full: &AtomicBool) -> io::Result<()> {
    if full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl Filling {
    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FillingFile { file, full: Arc::clone(&self.full) })
    }
}

impl Storage for Filling {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(Storage::open(&self.disk, name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        check_space(&self.full)?;
        Ok(self.file(self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl StorageFile for FillingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_space(&self.full)?;
        self.file.write(offset, data)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        check_space(&self.full)?;
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Runs the child; how many writes it acknowledged, at which revision, and whether it died.
fn run(point: &str, skip: u32, traffic: Traffic, directory: &Path) -> (u64, u64, bool) {
    let dying = Dying::at(point, skip, format!("{traffic:?} {}", directory.display()));
    let mut child = dying.command("crash::child_of_the_crash_test").stderr(Stdio::piped()).spawn().unwrap();
    let (mut done, mut revision, mut said) = (0, 1, String::new());
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(rest) = line.strip_prefix("acknowledged ") {
            let (number, at) = rest.split_once(' ').unwrap();
            done = number.parse::<u64>().unwrap() + 1;
            revision = at.parse().unwrap();
        } else {
            said.extend([line.as_str(), "\n"]);
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{point}:{skip}: {status}\n{said}");
    (done, revision, !status.success())
}

fn survives(point: &str, skip: u32, traffic: Traffic) -> bool {
    let directory = testkit::TempDir::new();
    let (done, revision, died) = run(point, skip, traffic, directory.path());
    let path = directory.join("store");
    let store = open(&path);
    assert!(store.revision().0 >= revision, "{point}:{skip}: acknowledged {revision} is lost");
    let seen: BTreeMap<String, String> = all(&store)
        .iter()
        .map(|kv| (String::from_utf8_lossy(&kv.key).into(), String::from_utf8_lossy(&kv.value).into()))
        .collect();
    // The writes that were under way may be there or not, but each as a whole and in their order.
    let whole = (done..=done + traffic.at_once()).any(|through| seen == traffic.model(through));
    assert!(whole, "{point}:{skip}: after {done} acknowledged writes there is {seen:?}");
    let next = store.txn(Txn::put("after", "1")).unwrap().revision;
    assert!(next.0 > revision);
    drop(store);
    check(&path).unwrap();
    for backup in ["backup", "online"].map(|name| directory.join(name)) {
        if backup.exists() {
            check(&backup).unwrap();
        }
    }
    died
}

fn nothing_acknowledged_is_lost(traffic: Traffic, skips: &[u32]) {
    for point in FAILPOINTS {
        let deaths = skips.iter().filter(|skip| survives(point, **skip, traffic)).count();
        assert!(deaths > 0, "{point} was never reached");
    }
}

#[test]
fn nothing_acknowledged_is_lost_at_any_failpoint() {
    nothing_acknowledged_is_lost(Traffic::Single, &[0, 20]);
}

#[test]
fn nothing_acknowledged_is_lost_in_bursts() {
    nothing_acknowledged_is_lost(Traffic::Bursts, &[0]);
}

#[test]
fn nothing_acknowledged_is_lost_with_large_values() {
    nothing_acknowledged_is_lost(Traffic::Large, &[0]);
}

#[test]
fn there_are_enough_failpoints_and_each_has_one_name() {
    let names: std::collections::BTreeSet<_> = FAILPOINTS.iter().collect();
    assert_eq!(names.len(), FAILPOINTS.len());
    assert!(names.len() >= 40, "{}", names.len());
}
