//! The attacker, what it is after, and how it is seen that it did not get there.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, RenameFlags};
use serde_json::{Value, json};

use crate::bundle::Bundle;

/// What the runtime is to make at the place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// A directory, that the host has.
    Directory,
    /// A directory, that the host lacks.
    NewDirectory,
    /// A file, that the host has.
    File,
    /// Nothing: it is there.
    Before,
}

/// A bundle with an attacker in its root.
pub(crate) struct Attack {
    bundle: Bundle,
    canary: PathBuf,
    /// Pairs that are exchanged: a directory's descriptor and two names in it.
    pairs: Vec<(Arc<OwnedFd>, PathBuf, PathBuf)>,
    /// Places that the runtime makes when the way is straight, and when it is bent.
    outcomes: Vec<PathBuf>,
    script: String,
    counts_mounts: bool,
}

impl Attack {
    /// With `/x/dir` and `/x/dir/way` exchanged for links to the host's canary.
    pub(crate) fn new(made: Made) -> Self {
        let mut attack = Self::empty();
        let (root, canary) = (attack.bundle.in_root(""), attack.canary.clone());
        // What the links lead to on the host, and inside the root.
        let twin = root.join(canary.strip_prefix("/").unwrap());
        for (tree, text) in [(&canary, "host"), (&twin, "image"), (&root.join("x/dir"), "image")] {
            fs::create_dir_all(tree.join("inner")).unwrap();
            symlink("inner", tree.join("way")).unwrap();
            let on_host = tree == &canary && made != Made::NewDirectory;
            if on_host || made == Made::Before {
                fill(&tree.join("inner/made"), text, made != Made::File);
            }
        }
        let (x, dir) = (open(&root.join("x")), open(&root.join("x/dir")));
        for (number, target) in attack.targets(&canary).iter().enumerate() {
            symlink(target, root.join(format!("x/link{number}"))).unwrap();
            symlink(target.join("inner"), root.join(format!("x/dir/way{number}"))).unwrap();
            attack.pair(&x, "dir", &format!("link{number}"));
            attack.pair(&dir, "way", &format!("way{number}"));
        }
        if made != Made::Before {
            attack.outcomes = vec![twin.join("inner/made")];
        }
        attack
    }

    /// With this directory of the root exchanged for links to the canary, where these names exist.
    pub(crate) fn at(name: &str, names: &[&str]) -> Self {
        let mut attack = Self::empty();
        let (root, canary) = (attack.bundle.in_root(""), attack.canary.clone());
        for name in names {
            fill(&canary.join(name), "host", false);
        }
        fs::create_dir_all(root.join(canary.strip_prefix("/").unwrap())).unwrap();
        let at = open(&root);
        for (number, target) in attack.targets(&canary).iter().enumerate() {
            symlink(target, root.join(format!("link{number}"))).unwrap();
            attack.pair(&at, name, &format!("link{number}"));
        }
        attack
    }

    fn empty() -> Self {
        let bundle = Bundle::new();
        let canary = bundle.dir.join("canary");
        fs::create_dir_all(&canary).unwrap();
        let script = String::new();
        Self { bundle, canary, pairs: Vec::new(), outcomes: Vec::new(), script, counts_mounts: false }
    }

    /// Ways to write the canary's path: from the root, up from below, and past the root.
    fn targets(&self, canary: &Path) -> [PathBuf; 3] {
        let below = canary.strip_prefix("/").unwrap();
        let up: PathBuf = std::iter::repeat_n("..", 20).collect();
        [canary.to_owned(), up.join(below), Path::new("/proc/self/root").join(below)]
    }

    fn pair(&mut self, at: &Arc<OwnedFd>, a: &str, b: &str) {
        self.pairs.push((at.clone(), a.into(), b.into()));
    }

    pub(crate) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.bundle.spec);
        self
    }

    /// In the container there must be as many mounts as without the attack: one that went to the host
    /// is not seen there.
    pub(crate) fn counting_mounts(mut self) -> Self {
        self.counts_mounts = true;
        self
    }

    /// Also tried inside; 7 is an escape.
    pub(crate) fn script(mut self, script: &str) -> Self {
        self.script = script.to_owned();
        self
    }

    /// Runs containers under attack.
    pub(crate) fn run(mut self) {
        let mut script = format!("{}\nexit 0", self.script);
        if self.counts_mounts {
            let count = "wc -l < /proc/self/mountinfo";
            self.bundle.spec["process"]["args"] = json!(["sh", "-c", count]);
            let calm = self.bundle.run().ok().to_owned();
            script = format!("test $({count}) = {calm} || exit 7\n{script}");
        }
        self.bundle.spec["process"]["args"] = json!(["sh", "-c", script]);
        self.run_each(|bundle| bundle.run().code);
    }

    /// Does something under attack until it has lasted long enough, has really raced, and has worked.
    pub(crate) fn run_each(self, once: impl Fn(&Bundle) -> i32) {
        let before = snapshot(&self.canary);
        let outcome = |at: &PathBuf| fs::symlink_metadata(at).is_ok();
        self.outcomes.iter().filter(|at| outcome(at)).for_each(|at| drop(fs::remove_dir_all(at)));
        let attacker = Attacker::start(&self.pairs);
        let (started, mut during, mut works, mut fails) = (Instant::now(), 0, 0_u32, 0_u32);
        loop {
            let swaps = attacker.swaps();
            match once(&self.bundle) {
                0 => works += 1,
                1 => fails += 1,
                code => panic!("{code}: it got out, or something else went wrong"),
            }
            during += attacker.swaps() - swaps;
            assert_eq!(snapshot(&self.canary), before, "the host was changed");
            let tries = works + fails;
            let raced = during >= SWAPS && tries >= TRIES && works >= 3 && self.outcomes.iter().all(outcome);
            if started.elapsed() >= length() && raced {
                break;
            }
            let (took, limit) = (started.elapsed(), length() + LIMIT);
            assert!(took < limit, "no race: {during} exchanges, {works} worked, {fails} failed");
        }
        attacker.stop();
        report(&format!(
            "{during} exchanges while the runtime worked: {works} containers made, {fails} refused"
        ));
        self.bundle.runtime(&["delete", "--force", "c"]);
        self.bundle.assert_nothing_left();
    }
}

/// Exchanges the pairs there and back, for as long as it may.
struct Attacker {
    swaps: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Attacker {
    fn start(pairs: &[(Arc<OwnedFd>, PathBuf, PathBuf)]) -> Self {
        let (swaps, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (pairs, counter, end) = (pairs.to_vec(), swaps.clone(), stop.clone());
        let exchange = |(at, a, b): &(Arc<OwnedFd>, PathBuf, PathBuf)| {
            rustix::fs::renameat_with(at, a, at, b, RenameFlags::EXCHANGE).is_ok()
        };
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for pair in &pairs {
                    let done = u64::from(exchange(pair)) + u64::from(exchange(pair));
                    counter.fetch_add(done, Ordering::Relaxed);
                }
            }
        });
        Self { swaps, stop, thread }
    }

    fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// A file, or a directory with a file, that says whose it is.
fn fill(at: &Path, text: &str, is_directory: bool) {
    let file = if is_directory { at.join("file") } else { at.to_owned() };
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn open(path: &Path) -> Arc<OwnedFd> {
    fs::create_dir_all(path).unwrap();
    Arc::new(
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap(),
    )
}

/// All that can be known of a tree: inodes, types, modes, owners, times of change, and contents.
fn snapshot(tree: &Path) -> BTreeMap<PathBuf, (Vec<u64>, i64, i64, String)> {
    let mut all = BTreeMap::new();
    let mut left = vec![tree.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let text = if meta.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
        let numbers = vec![meta.dev(), meta.ino(), meta.mode().into(), meta.uid().into(), meta.rdev()];
        all.insert(path, (numbers, meta.ctime(), meta.ctime_nsec(), text));
    }
    all
}

/// How long an attack lasts.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn length() -> Duration {
    let seconds = std::env::var("STRAKE_RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// What happened, for who asked `cargo xtask torture`.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
pub(crate) fn report(line: &str) {
    use std::io::Write;
    let Some(path) = std::env::var_os("STRAKE_REPORT") else { return };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    // The harness was asked for this test alone.
    let test = std::env::args().nth(1).unwrap_or_default();
    file.write_all(format!("{test}: {line}\n").as_bytes()).unwrap();
}

/// Fewer exchanges while the runtime works are no race.
const SWAPS: u64 = 2000;

/// A runtime that goes where links lead is caught one time in two or three.
const TRIES: u32 = 20;

/// A loaded machine takes longer until there was a race.
const LIMIT: Duration = Duration::from_secs(120);
