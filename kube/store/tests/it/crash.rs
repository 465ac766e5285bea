//! SIGKILL at each failpoint: everything acknowledged is there, the revision never goes back.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{
    Control, Disk, Embedded, Error, FAILPOINTS, KeyRange, LeaseId, Online, Op, Revision, SOCKET_NAME,
    StorageBackend, Store, Txn, check,
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
    drop(open(&path));
    let disk = Arc::new(Filling { disk: Disk::open(&path).unwrap(), full: AtomicBool::new(false) });
    let store = Arc::new(Embedded::open_on(disk.clone(), &path, &options(), Instant::now()).unwrap());
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
            care(&store, number, revision, directory);
            if number == 30 && point.starts_with("store.mend") {
                fill_and_mend(&store, &disk, traffic);
            }
        }
    }
    drop((control, store));
    out.write_all(b"finished\n").unwrap();
}

/// What an owner does beside the writes.
fn care(store: &Embedded, number: u64, revision: Revision, directory: &Path) {
    if number % 15 == 14 {
        store.compact(Revision(revision.0 - 5)).unwrap();
    }
    match number {
        20 => store.lease_grant(LeaseId(1), Duration::from_secs(60), Instant::now()).unwrap(),
        25 => drop(store.lease_revoke(LeaseId(1)).unwrap()),
        40 => drop(store.backup(&directory.join("backup")).unwrap()),
        50 => {
            let online = Online::connect(directory).unwrap().unwrap();
            online.backup(&directory.join("online"), |_, _| {}).unwrap();
        }
        _ => {}
    }
}

fn fill_and_mend(store: &Embedded, disk: &Filling, traffic: Traffic) {
    disk.full.store(true, Ordering::SeqCst);
    // What it would write is there already: the model needs not know whether it does.
    let again = Txn::put(key(30), traffic.value(30));
    assert!(matches!(store.txn(again), Err(Error::Full { .. })));
    disk.full.store(false, Ordering::SeqCst);
    // It takes a second until space is looked for.
    assert!(testkit::wait_until(Duration::from_secs(20), || store.failure().is_none()));
}

/// A file on a disk that can be full.
#[derive(Debug)]
struct Filling {
    disk: Disk,
    full: AtomicBool,
}

impl Filling {
    fn check_space(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Filling {
    fn len(&self) -> Result<u64, io::Error> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check_space()?;
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check_space()?;
        self.disk.write(offset, data)
    }
}

/// Runs the child; how many writes it acknowledged, at which revision, and whether it died.
fn run(point: &str, skip: u32, traffic: Traffic, directory: &Path) -> (u64, u64, bool) {
    let dying = Dying::at(point, skip, format!("{traffic:?} {}", directory.display()));
    let mut child = dying.command("crash::child_of_the_crash_test").stderr(Stdio::piped()).spawn().unwrap();
    let (mut done, mut revision) = (0, 1);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(rest) = line.strip_prefix("acknowledged ") {
            let (number, at) = rest.split_once(' ').unwrap();
            done = number.parse::<u64>().unwrap() + 1;
            revision = at.parse().unwrap();
        }
    }
    (done, revision, !child.wait().unwrap().success())
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
