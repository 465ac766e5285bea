//! SIGKILL at each failpoint: everything acknowledged is there, the revision never goes back.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{Disk, Embedded, Error, FAILPOINTS, KeyRange, Op, Revision, StorageBackend, Store, Txn, check};

use crate::{all, open, options};

const PLAN: &str = "STORE_CRASH_TEST_PLAN";

/// The process that dies. Without a plan it is a test of nothing, and says so by its name.
#[test]
fn child_of_the_crash_test() {
    #[allow(clippy::disallowed_methods, reason = "the parent test hands the plan over this way")]
    let Ok(plan) = std::env::var(PLAN) else { return };
    let [point, skip, directory] = plan.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{plan}") };
    base::failpoint::arm(point, skip.parse().unwrap(), || {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort()
    });
    let directory = Path::new(directory);
    let path = directory.join("store");
    drop(open(&path));
    let disk = Arc::new(Filling { disk: Disk::open(&path).unwrap(), full: AtomicBool::new(false) });
    let store = Embedded::open_on(disk.clone(), &path, &options(), Instant::now()).unwrap();
    // libtest captures print!, not writes to the descriptor.
    let mut out = io::stderr();
    for number in 0..60_u64 {
        let (key, value) = (format!("k{}", number % 7), format!("v{number}"));
        let txn = match number % 5 {
            0 => Txn::ops([Op::put(key.clone(), value.clone()), Op::put(format!("{key}b"), value.clone())]),
            4 => Txn::delete(KeyRange::one(key.clone())),
            _ => Txn::put(key.clone(), value.clone()),
        };
        let revision = store.txn(txn).unwrap().revision;
        // In one write: stderr has no buffer, and death between two pieces would tear the line.
        out.write_all(format!("acknowledged {number} {revision}\n").as_bytes()).unwrap();
        if number % 15 == 14 {
            store.compact(Revision(revision.0 - 5)).unwrap();
        }
        // It takes a second until space is looked for.
        if number == 30 && point.starts_with("store.mend") {
            disk.full.store(true, Ordering::SeqCst);
            // What it would write is there already: the model needs not know whether it does.
            assert!(matches!(store.txn(Txn::put(key, value)), Err(Error::Full { .. })));
            disk.full.store(false, Ordering::SeqCst);
            assert!(testkit::wait_until(Duration::from_secs(20), || store.failure().is_none()));
        }
        if number == 40 {
            store.backup(&directory.join("backup")).unwrap();
        }
    }
    drop(store);
    out.write_all(b"finished\n").unwrap();
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

fn model(through: u64) -> BTreeMap<String, String> {
    let mut model = BTreeMap::new();
    for number in 0..through {
        let (key, value) = (format!("k{}", number % 7), format!("v{number}"));
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

/// Runs the child; how many writes it acknowledged, at which revision, and whether it died.
fn run(point: &str, skip: u32, directory: &Path) -> (u64, u64, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_of_the_crash_test", "--nocapture"])
        .env(PLAN, format!("{point} {skip} {}", directory.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
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

fn survives(point: &str, skip: u32) -> bool {
    let directory = testkit::TempDir::new();
    let (done, revision, died) = run(point, skip, directory.path());
    let path = directory.join("store");
    let store = open(&path);
    assert!(store.revision().0 >= revision, "{point}:{skip}: acknowledged {revision} is lost");
    let seen: BTreeMap<String, String> = all(&store)
        .iter()
        .map(|kv| (String::from_utf8_lossy(&kv.key).into(), String::from_utf8_lossy(&kv.value).into()))
        .collect();
    // The write that was under way may be there or not, but as a whole.
    let whole = [done, done + 1].into_iter().any(|through| seen == model(through));
    assert!(whole, "{point}:{skip}: after {done} acknowledged writes there is {seen:?}");
    let next = store.txn(Txn::put("after", "1")).unwrap().revision;
    assert!(next.0 > revision);
    drop(store);
    check(&path).unwrap();
    let backup = directory.join("backup");
    if backup.exists() {
        check(&backup).unwrap();
    }
    died
}

#[test]
fn nothing_acknowledged_is_lost_at_any_failpoint() {
    for point in FAILPOINTS {
        let deaths = [0, 1, 20].into_iter().filter(|skip| survives(point, *skip)).count();
        assert!(deaths > 0, "{point} was never reached");
    }
}
