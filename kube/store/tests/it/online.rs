//! Commands to a store that is open elsewhere, over its socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use store::{
    Control, Embedded, Error, KeyRange, LeaseId, Online, Revision, SOCKET_NAME, Store, Txn, check, history,
    restore,
};
use testkit::TempDir;

use crate::{all, open};

fn served() -> (TempDir, Arc<Embedded>, Control) {
    let directory = TempDir::new();
    let store = Arc::new(open(&directory.join("store")));
    let control = Control::listen(Arc::clone(&store), &directory.join(SOCKET_NAME)).unwrap();
    (directory, store, control)
}

fn online(directory: &TempDir) -> Online {
    Online::connect(directory.path()).unwrap().expect("it listens")
}

#[test]
fn a_backup_under_writes_is_one_of_the_states_that_were() {
    let (directory, store, _control) = served();
    store.lease_grant(LeaseId(7), Duration::from_secs(60), Instant::now()).unwrap();
    let (ended, acknowledged) = (AtomicBool::new(false), AtomicU64::new(1));
    let backups = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u64.. {
                let txn = match number % 7 {
                    6 => Txn::delete(KeyRange::one(format!("k{}", (number - 1) % 40))),
                    _ => Txn::put(format!("k{}", number % 40), number.to_string()),
                };
                let revision = store.txn(txn).unwrap().revision.0;
                acknowledged.store(revision, Ordering::SeqCst);
                if ended.load(Ordering::SeqCst) && number > 300 {
                    return;
                }
            }
        });
        let backups = (0..3).map(|number| {
            let target = directory.join(format!("backup{number}"));
            let before = acknowledged.load(Ordering::SeqCst);
            let mut heard = (0, 0);
            let report = online(&directory).backup(&target, |come, of| heard = (come, of)).unwrap();
            assert_eq!(heard, (report.rows, report.rows));
            assert!(report.revision.0 >= before, "what was acknowledged before is in it");
            (target, report)
        });
        let backups: Vec<_> = backups.collect();
        ended.store(true, Ordering::SeqCst);
        backups
    });
    for (target, report) in backups {
        assert_eq!(check(&target).unwrap(), report);
        assert_eq!(report.leases, 1);
        let restored = directory.join("restored");
        restore(&target, &restored).unwrap();
        let then = open(&restored);
        let request = store::RangeRequest::new(KeyRange::all()).at(report.revision);
        assert_eq!(all(&then), store.range(&request).unwrap().kvs, "at revision {}", report.revision);
        drop(then);
        std::fs::remove_dir_all(restored).unwrap();
    }
}

#[test]
fn check_and_history_are_as_offline() {
    let (directory, store, control) = served();
    for value in ["1", "2"] {
        store.txn(Txn::put("a", value)).unwrap();
    }
    store.txn(Txn::delete(KeyRange::one("a"))).unwrap();
    let report = online(&directory).check().unwrap();
    assert_eq!((report.revision, report.rows, report.keys), (Revision(4), 3, 0));
    let changes = online(&directory).history(b"a").unwrap();
    let values: BTreeMap<u64, Option<Vec<u8>>> = changes
        .iter()
        .map(|change| (change.revision.0, change.kv.as_ref().map(|kv| kv.value.to_vec())))
        .collect();
    assert_eq!(values, BTreeMap::from([(2, Some(b"1".to_vec())), (3, Some(b"2".to_vec())), (4, None)]));
    assert!(online(&directory).history(b"none").unwrap().is_empty());
    let path = directory.join("store");
    assert!(matches!(check(&path), Err(Error::InUse { .. })), "the file itself is taken");
    drop((control, store));
    assert!(Online::connect(directory.path()).unwrap().is_none(), "nobody listens any more");
    assert!(!directory.join(SOCKET_NAME).exists());
    assert_eq!(check(&path).unwrap(), report);
    assert_eq!(history(&path, b"a").unwrap(), changes);
}

#[test]
fn only_its_user_reaches_the_socket_and_an_old_one_is_replaced() {
    let directory = TempDir::new();
    let socket = directory.join(SOCKET_NAME);
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(Online::connect(directory.path()).unwrap().is_none(), "a socket that nobody serves");
    let store = Arc::new(open(&directory.join("store")));
    let _control = Control::listen(store, &socket).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    online(&directory).check().unwrap();
}

#[test]
fn nonsense_and_early_leavers_harm_nobody() {
    let (directory, store, control) = served();
    store.txn(Txn::put("a", vec![7; 1 << 20])).unwrap();
    for nonsense in
        [&b""[..], b"B", b"B\xff\xff\xff\xff", b"B\x0e\0\0\0strake store 9", b"?\x0e\0\0\0strake store 2"]
    {
        let mut stream = UnixStream::connect(directory.join(SOCKET_NAME)).unwrap();
        stream.write_all(nonsense).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty() || answer[0] == b'E', "{nonsense:?}: {answer:?}");
    }
    // It asks for a backup and goes.
    let mut stream = UnixStream::connect(directory.join(SOCKET_NAME)).unwrap();
    stream.write_all(b"B\x0e\0\0\0strake store 2").unwrap();
    drop(stream);
    online(&directory).check().unwrap();
    // A target that exists is left alone.
    let target = directory.join("taken");
    std::fs::write(&target, "mine").unwrap();
    let error = online(&directory).backup(&target, |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("refuse to overwrite"), "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    // One that stalls does not keep the server from ending.
    let mut stalled = UnixStream::connect(directory.join(SOCKET_NAME)).unwrap();
    stalled.write_all(b"B\x0e\0\0\0strake store 2").unwrap();
    drop(control);
    drop(store);
}

#[test]
fn a_server_that_dies_leaves_no_half_backup() {
    let directory = TempDir::new();
    let listener = std::os::unix::net::UnixListener::bind(directory.join(SOCKET_NAME)).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut command = [0; 19];
        stream.read_exact(&mut command).unwrap();
    });
    let target = directory.join("backup");
    let error = online(&directory).backup(&target, |_, _| {}).unwrap_err();
    server.join().unwrap();
    assert!(error.to_string().contains("hear from the server"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [SOCKET_NAME]);
}
