//! SIGKILL at every failpoint of pull, load and removal leaves a store that works.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use engine::images::{FAILPOINTS, LoadSource, PullOptions, Silent};
use oci_spec::Reference;
use testkit::registry::Registry;

use super::support::{Host, Layer, Layout, noise, open, three_layers};

/// What the dying process is to do, and where it dies.
const WORK: &str = "STRAKE_TEST_CRASH_WORK";
const ROOT: &str = "STRAKE_TEST_CRASH_ROOT";
const POINT: &str = "STRAKE_TEST_CRASH_POINT";

/// Not a test of its own: the process that the tests below kill.
#[test]
fn dying_process() {
    let Ok(work) = env::var(WORK) else { return };
    let (root, point) = (env::var(ROOT).unwrap(), env::var(POINT).unwrap());
    let (name, skip) = point.rsplit_once('#').unwrap();
    base::failpoint::arm(name, skip.parse().unwrap(), || {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    });
    let images = open(Path::new(&root));
    let (verb, operand) = work.split_once(' ').unwrap();
    match verb {
        "pull" => drop(
            images.pull(&Reference::parse(operand).unwrap(), &PullOptions::default(), &mut Silent).unwrap(),
        ),
        "load" => drop(images.load(LoadSource::Directory(operand.into()), None, None, &mut Silent).unwrap()),
        "remove" => drop(images.remove(operand, false, &[]).unwrap()),
        "prune" => drop(images.prune(true, &[], &[]).unwrap()),
        other => panic!("{other}"),
    }
}

/// Does `work` in a process that dies at `point` after passing it `skip` times; whether
/// it came that far.
fn killed_at(host: &Host, work: &str, point: &str, skip: u32) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "images::crash::dying_process", "--test-threads=2"])
        .env(WORK, work)
        .env(ROOT, host.directory.path())
        .env(POINT, format!("{point}#{skip}"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{work} failed by itself at {point}: {status}");
    killed
}

/// All named places on the way of an image.
fn points() -> Vec<&'static str> {
    FAILPOINTS.iter().chain(content::FAILPOINTS).chain(snapshot::FAILPOINTS).copied().collect()
}

#[test]
fn a_pull_killed_anywhere_can_be_repeated() {
    let registry = Registry::start();
    let name = registry.push_layout(Layout::of("x", &three_layers()).path(), "x", "app:1");
    let mut died = Vec::new();
    for point in points() {
        for skip in [0, 2] {
            let host = Host::new();
            if !killed_at(&host, &format!("pull {name}"), point, skip) {
                host.check();
                continue;
            }
            died.push(point);
            // What shows is whole, before and after the recovery of a start.
            host.check();
            host.images.recover().unwrap();
            host.check();
            let image = host.pull(&name).unwrap().image;
            assert_eq!(host.read(&image, "etc/base").as_deref(), Some("changed"), "{point}");
            assert_eq!(host.images.snapshots().chains().unwrap().len(), 3, "{point}");
            host.images.remove(&name, false, &[]).unwrap();
            assert!(host.images.store().blobs().unwrap().is_empty(), "{point}");
            assert!(host.images.snapshots().chains().unwrap().is_empty(), "{point}");
            assert_eq!(host.images.store().usage().unwrap().partial_bytes, 0, "{point}");
        }
    }
    died.dedup();
    for expected in [
        "pull.leased",
        "pull.manifest-stored",
        "pull.config-stored",
        "pull.layer-half",
        "pull.blob-committed",
        "pull.layer-staged",
        "pull.layers-committed",
        "pull.named",
        "content.blob-committed",
        "snapshot.layer-renamed",
    ] {
        assert!(died.contains(&expected), "{expected} was not reached: {died:?}");
    }
}

#[test]
fn a_broken_pull_goes_on_where_it_stopped() {
    let registry = Registry::start();
    let layer = Layer::new(&[("noise", &noise(3_000_000, 3))]);
    let name = registry.push_layout(Layout::of("x", &[layer]).path(), "x", "big:1");
    let host = Host::new();
    assert!(killed_at(&host, &format!("pull {name}"), "pull.layer-half", 3));
    let kept = host.images.store().usage().unwrap().partial_bytes;
    assert!(kept >= 4 * 256 * 1024, "{kept}");
    let mut told = super::support::Told::default();
    let reference = Reference::parse(&name).unwrap();
    host.images.pull(&reference, &PullOptions::default(), &mut told).unwrap();
    let first = told.0.iter().find_map(|(_, state)| match state {
        engine::images::LayerState::Downloading { done, .. } => Some(*done),
        _ => None,
    });
    assert_eq!(first, Some(kept), "the transfer begins where the other ended");
    host.check();
}

#[test]
fn a_load_killed_anywhere_can_be_repeated() {
    let layout = Layout::of("1", &three_layers());
    let work = format!("load {}", layout.path().display());
    for point in points() {
        let host = Host::new();
        if !killed_at(&host, &work, point, 1) {
            continue;
        }
        host.check();
        let source = LoadSource::Directory(layout.path().to_owned());
        let loaded = host.images.load(source, None, None, &mut Silent).unwrap();
        let image = host.images.find(&loaded[0].id.to_string(), None).unwrap();
        assert_eq!(host.read(&image, "top").as_deref(), Some("top"), "{point}");
        host.check();
    }
}

#[test]
fn a_removal_killed_anywhere_can_be_repeated() {
    let mut layout = Layout::new();
    let base = Layer::new(&[("base", b"x")]);
    layout.image("q.example/a:1", &[base.clone(), Layer::new(&[("a", b"1")])]);
    layout.image("q.example/b:1", &[base, Layer::new(&[("b", b"2")])]);
    let mut died = 0;
    for work in ["remove q.example/a:1", "prune all"] {
        for point in points() {
            let host = Host::new();
            let source = || LoadSource::Directory(layout.path().to_owned());
            host.images.load(source(), None, None, &mut Silent).unwrap();
            if !killed_at(&host, work, point, 0) {
                continue;
            }
            died += 1;
            host.check();
            host.images.recover().unwrap();
            if let Some(other) = host.images.try_find("q.example/b:1", None).unwrap() {
                host.images.unpack(&other, &mut Silent).unwrap();
                assert_eq!(host.read(&other, "b").as_deref(), Some("2"), "{point}");
            } else {
                assert_eq!(work, "prune all");
            }
            host.images.prune(true, &[], &[]).unwrap();
            assert!(host.images.store().blobs().unwrap().is_empty(), "{point}");
            assert!(host.images.snapshots().chains().unwrap().is_empty(), "{point}");
        }
    }
    assert!(died >= 8, "only {died} of the points were reached");
}
