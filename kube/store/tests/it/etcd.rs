//! The same suite on a real etcd: three members with TLS and client certificates.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use store::{
    Error, Etcd, EtcdConfig, KeyRange, LeaseId, Op, RangeRequest, Revision, Store, Txn, WatchRequest, migrate,
};
use testkit::{TempDir, run, wait_until};

use crate::disk::Memory;
use crate::model::{Model, refuses_what_is_wrong, step};
use crate::random::Random;
use crate::{all, concurrency, open_on, value};

const LONG: Duration = Duration::from_secs(30);

/// A cluster of its own; killed on drop.
struct Cluster {
    members: Vec<Member>,
    home: TempDir,
}

struct Member {
    process: Child,
    endpoint: String,
    args: Vec<String>,
}

impl Cluster {
    fn start(count: usize) -> Self {
        let home = TempDir::new();
        certificates(home.path());
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
        let peers = ports.iter().enumerate();
        let peers: Vec<_> = peers.map(|(at, (_, peer))| format!("m{at}=http://127.0.0.1:{peer}")).collect();
        let file = |name: &str| home.join(name).to_string_lossy().into_owned();
        let members = ports.iter().enumerate().map(|(at, (client, peer))| {
            let endpoint = format!("https://127.0.0.1:{client}");
            let peer = format!("http://127.0.0.1:{peer}");
            let args = [
                ("name", format!("m{at}")),
                ("data-dir", file(&format!("data{at}"))),
                ("listen-client-urls", endpoint.clone()),
                ("advertise-client-urls", endpoint.clone()),
                ("listen-peer-urls", peer.clone()),
                ("initial-advertise-peer-urls", peer),
                ("initial-cluster", peers.join(",")),
                ("cert-file", file("server.pem")),
                ("key-file", file("server.key")),
                ("trusted-ca-file", file("ca.pem")),
                ("client-cert-auth", "true".to_owned()),
                ("log-level", "error".to_owned()),
            ];
            let args: Vec<_> = args.into_iter().map(|(name, value)| format!("--{name}={value}")).collect();
            Member { process: launch(&args), endpoint, args }
        });
        let cluster = Self { members: members.collect(), home };
        let ready =
            || cluster.connect().and_then(|store| store.range(&RangeRequest::new(KeyRange::all()))).is_ok();
        assert!(wait_until(LONG, ready), "etcd does not come up: {:?}", cluster.connect().err());
        cluster
    }

    fn config(&self) -> EtcdConfig {
        let read = |name: &str| fs::read(self.home.join(name)).unwrap();
        EtcdConfig {
            endpoints: self.members.iter().map(|member| member.endpoint.clone()).collect(),
            ca: Some(read("ca.pem")),
            identity: Some((read("client.pem"), read("client.key"))),
        }
    }

    fn connect(&self) -> Result<Etcd, Error> {
        Etcd::connect(&self.config())
    }

    fn kill(&mut self, at: usize) {
        self.members[at].process.kill().unwrap();
        self.members[at].process.wait().unwrap();
    }

    fn restart(&mut self, at: usize) {
        self.members[at].process = launch(&self.members[at].args);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
    }
}

fn launch(args: &[String]) -> Child {
    let mut command = Command::new("etcd");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("etcd-server is installed")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A CA, a server's certificate for 127.0.0.1 and a client's.
fn certificates(dir: &Path) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca
        for who in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
            printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' > $who.ext
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                -extfile $who.ext -out $who.pem
        done";
    run(Command::new("sh").current_dir(dir).args(["-c", script])).ok();
}

#[test]
fn who_compacts_second_learns_of_the_first() {
    let cluster = Cluster::start(1);
    let (first, second) = (cluster.connect().unwrap(), cluster.connect().unwrap());
    for round in 0..5 {
        first.txn(Txn::put("/a", round.to_string())).unwrap();
    }
    let revision = first.revision();
    first.compact(revision).unwrap();
    assert_eq!(first.compacted(), revision);
    assert!(matches!(second.compact(revision), Err(Error::Compacted { .. })));
    assert_eq!(second.compacted(), revision);
    let old = RangeRequest::new(KeyRange::one("/a")).at(Revision(revision.0 - 1));
    assert!(matches!(second.range(&old), Err(Error::Compacted { .. })));
}

#[test]
fn the_model_holds_on_etcd() {
    let cluster = Cluster::start(1);
    let mut store = cluster.connect().unwrap();
    let (mut random, mut model) = (Random::new(3), Model::new());
    for number in 0..300 {
        step(&store, &mut model, &mut random, number);
        if random.below(60) == 0 {
            store = cluster.connect().unwrap();
        }
    }
    assert_eq!(all(&store), model.values());
    let at = store.revision();
    refuses_what_is_wrong(&store);
    assert_eq!(store.revision(), at);
}

#[test]
fn concurrent_histories_on_three_members_are_linearizable() {
    let cluster = Cluster::start(3);
    let store = cluster.connect().unwrap();
    concurrency::history_is_linearizable(&store, 1, 60);
}

#[test]
fn a_watch_on_etcd_outlives_a_member() {
    let mut cluster = Cluster::start(3);
    let store = cluster.connect().unwrap();
    let mut watch = store.watch(WatchRequest::new(KeyRange::prefix("a/")).prev_kv()).unwrap();
    let mut seen = Vec::new();
    for round in 0..3 {
        cluster.kill(round);
        for number in 0..20 {
            let ops = [Op::put(format!("a/{number}"), format!("{round}")), Op::put("b", "x")];
            // A write that was under way to the lost member may have been done: it is not tried again.
            let written = || store.txn(Txn::ops(ops.clone())).is_ok();
            assert!(wait_until(LONG, written), "two of three members do not write");
        }
        cluster.restart(round);
    }
    let end = store.txn(Txn::put("a/end", "")).unwrap().revision;
    while seen.last() != Some(&end.0) {
        let batch = watch.wait(LONG).unwrap().expect("the end comes");
        assert!(batch.events.iter().all(|event| event.kv.key.starts_with(b"a/")));
        seen.push(batch.revision.0);
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "in order and once: {seen:?}");
    let first = RangeRequest::new(KeyRange::prefix("a/"));
    assert_eq!(store.range(&first).unwrap().count, 21);
    assert!(seen.len() > 60, "every write of ours is there: {}", seen.len());
    assert_eq!(watch.progress(), end);
}

#[test]
fn a_watch_says_how_far_it_is_without_events_of_its_own() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let cluster = Cluster::start(1);
    let store = cluster.connect().unwrap();
    let mut watch = store.watch(WatchRequest::new(KeyRange::prefix("a/"))).unwrap();
    let waker = Waker::from(Arc::new(Nothing));
    let mut context = Context::from_waker(&waker);
    store.txn(Txn::put("b", "elsewhere")).unwrap();
    let caught_up = || {
        let latest = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.latest());
        assert!(matches!(watch.poll_next(&mut context), Poll::Pending));
        watch.progress() >= latest.unwrap()
    };
    assert!(wait_until(LONG, caught_up));
}

#[test]
fn a_compaction_passes_a_watch_on_etcd() {
    let cluster = Cluster::start(1);
    let store = cluster.connect().unwrap();
    for number in 0..10 {
        store.txn(Txn::put("a", number.to_string())).unwrap();
    }
    store.compact(Revision(8)).unwrap();
    assert!(matches!(store.compact(Revision(5)), Err(Error::Compacted { .. })));
    let mut late = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(3))).unwrap();
    let error = late.wait(LONG).unwrap_err();
    assert!(matches!(error, Error::Compacted { compacted: Revision(8), .. }), "{error}");
    let mut resumed = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(8))).unwrap();
    assert_eq!(resumed.wait(LONG).unwrap().unwrap().revision, Revision(8));
    let old = RangeRequest::new(KeyRange::all()).at(Revision(9));
    assert_eq!(store.range(&old).unwrap().kvs[0].mod_revision, Revision(9));
}

#[test]
fn leases_of_etcd_take_their_keys_with_them() {
    let cluster = Cluster::start(1);
    let store = cluster.connect().unwrap();
    let now = Instant::now();
    let ttl = Duration::from_secs(60);
    store.lease_grant(LeaseId(7), ttl, now).unwrap();
    assert!(matches!(store.lease_grant(LeaseId(7), ttl, now), Err(Error::LeaseTaken { .. })));
    store.lease_grant(LeaseId(8), Duration::from_secs(1), now).unwrap();
    let ops = [Op::put_leased("a", "1", LeaseId(7)), Op::put_leased("b", "1", LeaseId(7)), Op::put("c", "1")];
    store.txn(Txn::ops(ops)).unwrap();
    store.txn(Txn::ops([Op::put_leased("short", "1", LeaseId(8))])).unwrap();
    assert_eq!(store.leases().unwrap(), [LeaseId(7), LeaseId(8)]);
    let info = store.lease(LeaseId(7), now).unwrap();
    assert_eq!((info.ttl, info.keys), (ttl, vec!["a".into(), "b".into()]));
    assert_eq!(store.lease_keep_alive(LeaseId(7), now).unwrap(), ttl);
    let mut watch = store.watch(WatchRequest::new(KeyRange::prefix("a"))).unwrap();
    let revoked = store.lease_revoke(LeaseId(7)).unwrap();
    assert_eq!(watch.wait(LONG).unwrap().unwrap().revision, revoked);
    assert_eq!((value(&store, "a"), value(&store, "c")), (None, Some("1".to_owned())));
    assert!(matches!(store.lease_keep_alive(LeaseId(7), now), Err(Error::LeaseNotFound { .. })));
    assert!(matches!(store.lease(LeaseId(7), now), Err(Error::LeaseNotFound { .. })));
    assert!(wait_until(LONG, || value(&store, "short").is_none()), "the short lease has run out");
}

#[test]
fn a_store_moves_to_etcd_and_back() {
    let cluster = Cluster::start(1);
    let etcd = cluster.connect().unwrap();
    let source = open_on(&Memory::new()).unwrap();
    let now = Instant::now();
    source.lease_grant(LeaseId(5), Duration::from_secs(100), now).unwrap();
    for number in 0..1200 {
        source.txn(Txn::put(format!("k/{number:05}"), vec![b'x'; number])).unwrap();
    }
    source.txn(Txn::ops([Op::put_leased("leased", "1", LeaseId(5))])).unwrap();
    let moved = migrate(&source, &etcd, now).unwrap();
    assert_eq!((moved.from, moved.keys, moved.leases), (Revision(1202), 1201, 1));
    let plain = |store: &dyn Store| -> Vec<_> {
        all(store).into_iter().map(|kv| (kv.key, kv.value, kv.lease)).collect()
    };
    assert_eq!(plain(&etcd), plain(&source));
    let error = migrate(&source, &etcd, now).unwrap_err();
    assert!(error.to_string().contains("holds 1201 keys already"), "{error}");
    let back = open_on(&Memory::new()).unwrap();
    migrate(&etcd, &back, now).unwrap();
    assert_eq!(plain(&back), plain(&source));
}

#[test]
fn what_cannot_be_reached_is_named() {
    let nobody =
        EtcdConfig { endpoints: vec![format!("http://127.0.0.1:{}", free_port())], ..EtcdConfig::default() };
    let error = Etcd::connect(&nobody).unwrap_err();
    assert!(
        error.to_string().contains("ask etcd for its state: check that the endpoints are right"),
        "{error}"
    );
    let wrong = EtcdConfig { endpoints: vec!["not a url".to_owned()], ..EtcdConfig::default() };
    assert!(Etcd::connect(&wrong).unwrap_err().to_string().contains("not a url"));
    assert!(Etcd::connect(&EtcdConfig::default()).is_err());
}
