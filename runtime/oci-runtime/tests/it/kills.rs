//! SIGKILL of the runtime, and of what it forks, at each system call of `create`: after
//! `delete --force` nothing is left, and the id can be used again.
//!
//! strace(1) counts the calls and kills. About 64 points of each kind; `cargo xtask torture create`
//! takes all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::{isolated, wait_until};

use crate::bundle::{Bundle, KEPT};
use crate::crashes::others;
use crate::races::report;

/// A container with a bit of everything: limits, a volume, hooks, a filter, masked paths.
fn bundle() -> Bundle {
    let bundle = Bundle::new().script("sleep 1000");
    let hook = json!([{ "path": "/bin/true" }]);
    fs::create_dir_all(bundle.dir.join("volume")).unwrap();
    let volume = json!({ "destination": "/v", "type": "bind", "source": bundle.dir.join("volume"),
                         "options": ["rbind", "ro"] });
    let bundle = bundle.mount(volume).with(|spec| {
        spec["hostname"] = json!("killed");
        spec["hooks"] = json!({ "createRuntime": hook, "createContainer": hook });
        spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        spec["linux"]["resources"]["pids"] = json!({ "limit": 50 });
        let deny = json!({ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" });
        spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny] });
    });
    bundle.write_config();
    bundle
}

#[test]
fn the_runtime_killed_at_every_call_of_create_leaves_nothing() {
    isolated(|| {
        let bundle = bundle();
        let calls = Calls::count(&bundle);
        let calm = machine(&bundle);
        let mut killed = 0;
        for (name, when) in sample(&points(&calls.runtime, &Counts::new())) {
            let status = create(&bundle, &[&format!("--inject={name}:signal=KILL:when={when}")]);
            let what = format!("{name} {when} of the runtime");
            assert!(status.success() || status.signal() == Some(9), "{what}: {status}");
            killed += u64::from(status.signal() == Some(9));
            delete(&bundle, &calm, &what);
        }
        assert!(killed >= 60, "{killed} points");
        report(&format!("the runtime was killed at {killed} calls"));
    });
}

#[test]
fn init_killed_at_every_call_of_create_leaves_nothing() {
    isolated(|| {
        let bundle = bundle();
        let calls = Calls::count(&bundle);
        let calm = machine(&bundle);
        let mut killed = 0;
        for (name, when) in sample(&points(&calls.init, &calls.runtime)) {
            let inject = format!("--inject={name}:signal=KILL:when={when}");
            let status = create(&bundle, &["--follow-forks", &inject]);
            let what = format!("{name} {when} of init");
            assert!(status.code().is_some(), "{what}: {status}");
            if status.code() != Some(0) {
                killed += 1;
                // The runtime has seen to it itself.
                assert!(wait_until(SHORTLY, || others().is_empty()), "{what}: {:?} live", others());
                assert_eq!(machine(&bundle), calm, "{what}");
            }
            delete(&bundle, &calm, &what);
        }
        assert!(killed >= 30, "{killed} points");
        report(&format!("init was killed at {killed} calls"));
    });
}

/// How often the runtime and its init make each system call.
struct Calls {
    runtime: Counts,
    init: Counts,
}

/// By the call's name.
type Counts = BTreeMap<String, u64>;

impl Calls {
    fn count(bundle: &Bundle) -> Self {
        let trace = bundle.dir.join("trace");
        let status = create(bundle, &["--follow-forks", &format!("--output={}", trace.display())]);
        assert!(status.success(), "{status}");
        bundle.runtime(&["delete", "--force", "c"]).ok();
        assert!(wait_until(SHORTLY, || others().is_empty()), "{:?}", others());
        let text = fs::read_to_string(&trace).unwrap();
        let mut by_process: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut order = Vec::new();
        for line in text.lines() {
            let (pid, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            // Signals, ends, and the second halves of calls that were interrupted.
            let Some((name, _)) = call.split_once('(').filter(|_| !call.starts_with(['-', '+', '<'])) else {
                continue;
            };
            if !order.contains(&pid) {
                order.push(pid);
            }
            *by_process.entry(pid).or_default().entry(name.to_owned()).or_default() += 1;
        }
        let mut of = |at: usize| by_process.remove(order[at]).unwrap();
        // Then come the hooks.
        Self { runtime: of(0), init: of(1) }
    }
}

/// `create` under strace, which lives beside it and not above.
fn create(bundle: &Bundle, options: &[&str]) -> ExitStatus {
    // Each time as for the first container with its filter: the calls are the same, and the most.
    let _ = fs::remove_dir_all(bundle.kept());
    let path = bundle.dir.path().display().to_string();
    let runtime = bundle.command(&["create", "--bundle", &path, "c"]);
    let mut strace = Command::new("strace");
    strace.args(["--daemonize=grandchild", "--quiet=all", "--output=/dev/null"]).args(options);
    strace.arg("--").arg(runtime.get_program()).args(runtime.get_args());
    let mut child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut status = None;
    wait_until(LONG, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap_or_else(|| panic!("create does not end under strace {options:?}"))
}

/// `delete --force` at once, and nothing is left.
fn delete(bundle: &Bundle, calm: &Machine, what: &str) {
    let output = bundle.runtime(&["delete", "--force", "c"]);
    assert_eq!(output.code, 0, "{what}: {}", output.stderr);
    assert_eq!(machine(bundle), *calm, "{what}");
    assert!(wait_until(SHORTLY, || others().is_empty()), "{what}: {:?} live", others());
}

/// What a container could leave: mounts, cgroups, its directory. (Namespaces live by processes and
/// mounts, and there are none.)
type Machine = (String, BTreeSet<String>, Vec<String>);

fn machine(bundle: &Bundle) -> Machine {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let own = hierarchies.map(|entry| entry.path().join(&bundle.cgroup.path()[1..]).join("c"));
    let cgroups = own.filter(|dir| dir.exists()).map(|dir| dir.display().to_string()).collect();
    let states = fs::read_dir(bundle.state_root()).into_iter().flatten().flatten();
    let states = states.map(|entry| entry.file_name().display().to_string());
    let states = states.filter(|name| name != KEPT).collect();
    (fs::read_to_string("/proc/self/mountinfo").unwrap(), cgroups, states)
}

/// A point is a kind of call and how many of it are made until then. Where `others` make as many of
/// that kind, they would be killed.
fn points<'a>(calls: &'a Counts, others: &Counts) -> Vec<(&'a str, u64)> {
    let of = |(name, count): (&'a String, &u64)| {
        let first = others.get(name).copied().unwrap_or(0) + 1;
        (first..=*count).map(move |number| (name.as_str(), number))
    };
    calls.iter().flat_map(of).collect()
}

/// Some of them, or all.
fn sample<'a>(points: &[(&'a str, u64)]) -> impl Iterator<Item = (&'a str, u64)> {
    points.iter().copied().step_by(step().unwrap_or((points.len() / 70).max(1)))
}

#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn step() -> Option<usize> {
    std::env::var("STRAKE_KILL_STEP").ok()?.parse().ok()
}

const SHORTLY: Duration = Duration::from_secs(10);

/// Under strace, on a loaded machine.
const LONG: Duration = Duration::from_secs(120);
