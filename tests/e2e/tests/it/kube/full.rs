//! A disk that is full and has space again: writes are refused in words, all else goes on, and
//! nobody has to restart anything.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};
use testkit::kube::KubeServer;
use testkit::{TempDir, isolated};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::wire::{Events, JSON, Target, Wire};

const OBJECTS: &str = "/api/v1/namespaces/default/configmaps";
/// What a change of state may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);
const WRITERS: u64 = 4;

#[test]
fn a_full_disk_refuses_writes_only_and_gives_them_back() {
    isolated(|| {
        let home = TempDir::new();
        let data = home.join("data");
        std::fs::create_dir(&data).unwrap();
        mount("tmpfs", &data, "tmpfs", MountFlags::empty(), Some(c"size=48m,nr_inodes=64")).unwrap();
        let mut server = KubeServer::start_in(home, &[]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let target = Target::of(&server);
        let mut reader = Reader { runtime: &runtime, wire: Wire::new(&target) };
        let watched = reader.watch();
        let writers = Writers::start('w', &target, &runtime);

        wait("writes", || writers.done() > 20);
        fill(&data.join("filler"));
        wait("a refusal", || writers.refused() > 20);
        assert_eq!(reader.get("/readyz").0, 500);
        let (code, why) = reader.get("/readyz/etcd-readiness");
        assert_eq!(code, 500);
        assert!(why.contains("is full: free space on it"), "{why}");
        assert!(why.contains("No space left on device"), "{why}");
        assert_eq!(reader.get("/livez").0, 200, "a restart would not help");
        assert_eq!(reader.get(OBJECTS).0, 200);
        assert_eq!(reader.get(&format!("{OBJECTS}/w0-1")).0, 200);

        std::fs::remove_file(data.join("filler")).unwrap();
        let (before, since) = (writers.done(), Instant::now());
        wait("writes after there is space", || writers.done() > before + 20);
        println!("writes went on after {:?}", since.elapsed());
        wait("/readyz", || reader.get("/readyz").0 == 200);

        // No files can be made any more: the store has the one that it needs.
        let mut files = 0;
        while File::create(data.join(format!("f{files}"))).is_ok() {
            files += 1;
        }
        let before = writers.done();
        wait("writes without inodes", || writers.done() > before + 20);
        (0..files).for_each(|file| std::fs::remove_file(data.join(format!("f{file}"))).unwrap());

        let written = writers.stop(&runtime);
        reader.assert_kept(&written);
        runtime.block_on(all_seen(watched, &written));
        // Also a start needs no space.
        fill(&data.join("filler"));
        server.crash_and_restart();
        reader.assert_kept(&written);
        std::fs::remove_file(data.join("filler")).unwrap();
        let writers = Writers::start('x', &target, &runtime);
        wait("writes after all", || writers.done() > 20);
        let more = writers.stop(&runtime);
        reader.assert_kept(&more);
    });
}

/// Leaves no byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn wait(what: &str, condition: impl FnMut() -> bool) {
    assert!(testkit::wait_until(WITHIN, condition), "waited in vain for {what}");
}

struct Reader<'a> {
    runtime: &'a Runtime,
    wire: Wire,
}

impl Reader<'_> {
    fn get(&mut self, path: &str) -> (u16, String) {
        let answer = self.runtime.block_on(self.wire.send("GET", path, JSON, "")).unwrap();
        (answer.code, answer.text().into_owned())
    }

    fn watch(&mut self) -> Events {
        let path = format!("{OBJECTS}?watch=true&labelSelector=full");
        Events::of(self.runtime.block_on(self.wire.open("GET", &path, JSON, "")).unwrap())
    }

    /// All that was acknowledged is there.
    fn assert_kept(&mut self, written: &[String]) {
        let list = self.runtime.block_on(self.wire.insist("GET", OBJECTS, JSON, "")).ok();
        let names: Vec<&Value> =
            list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
        for name in written {
            assert!(names.iter().any(|found| *found == name), "{name} is lost");
        }
    }
}

/// The watch, which was open all the time, has told of all that was acknowledged.
async fn all_seen(mut watched: Events, written: &[String]) {
    let mut missing: std::collections::BTreeSet<&str> = written.iter().map(String::as_str).collect();
    let read = async {
        while !missing.is_empty() {
            let event = watched.next().await.expect("the watch goes on");
            missing.remove(event["object"]["metadata"]["name"].as_str().unwrap());
        }
    };
    let seen = tokio::time::timeout(WITHIN, read).await;
    assert!(seen.is_ok(), "no events of {missing:?}");
}

/// Tasks that create one object after the other.
struct Writers {
    counters: Arc<Counters>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Default)]
struct Counters {
    done: AtomicU64,
    refused: AtomicU64,
    ends: AtomicBool,
}

impl Writers {
    fn start(prefix: char, target: &Target, runtime: &Runtime) -> Self {
        let counters: Arc<Counters> = Arc::default();
        let tasks = (0..WRITERS).map(|number| {
            let (wire, counters) = (Wire::new(target), Arc::clone(&counters));
            runtime.spawn(write(wire, format!("{prefix}{number}"), counters))
        });
        let tasks = tasks.collect();
        Self { counters, tasks }
    }

    fn done(&self) -> u64 {
        self.counters.done.load(Ordering::SeqCst)
    }

    fn refused(&self) -> u64 {
        self.counters.refused.load(Ordering::SeqCst)
    }

    /// What was acknowledged.
    fn stop(self, runtime: &Runtime) -> Vec<String> {
        self.counters.ends.store(true, Ordering::SeqCst);
        self.tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect()
    }
}

async fn write(mut wire: Wire, writer: String, counters: Arc<Counters>) -> Vec<String> {
    let mut written = Vec::new();
    for number in 1.. {
        if counters.ends.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("{writer}-{number}");
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"pad": "x".repeat(20_000)},
            "metadata": {"name": name, "labels": {"full": "yes"}},
        });
        let answer = wire.send("POST", OBJECTS, JSON, object.to_string()).await.unwrap();
        match answer.code {
            201 => {
                written.push(name);
                counters.done.fetch_add(1, Ordering::SeqCst);
                // So that the disk is not full of these.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            503 => {
                let status = answer.json();
                assert_eq!(status["reason"], "ServiceUnavailable");
                let message = status["message"].as_str().unwrap();
                assert!(message.contains("the disk that holds the store"), "{message}");
                assert!(message.contains("is full: free space on it"), "{message}");
                counters.refused.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            code => panic!("{code}: {}", answer.text()),
        }
    }
    written
}
