//! `strake system fsck`: each kind of orphan is planted, found alone, removed alone.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::{Strake, isolated, run};

use crate::{inspect, pid};

/// No container has this id.
const GHOST: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

struct Host {
    strake: Strake,
    /// The id of a container that runs, with a volume, an address and a port.
    live: String,
}

impl Host {
    fn new() -> Self {
        let strake = Strake::new().with_busybox();
        strake.ok(&["volume", "create", "kept"]);
        let live = [
            "run",
            "-d",
            "--name",
            "live",
            "-v",
            "kept:/kept",
            "-p",
            "8080:80",
            "busybox",
            "sh",
            "-c",
            "echo kept > /kept/file; echo written > /file; exec sleep 3600",
        ];
        let live = strake.ok(&live);
        testkit::wait_until(std::time::Duration::from_secs(10), || {
            strake.run(&["exec", "live", "cat", "/file"]).stdout.contains("written")
        });
        Self { strake, live }
    }

    fn root(&self, path: &str) -> PathBuf {
        self.strake.root().join(path)
    }

    fn state(&self, path: &str) -> PathBuf {
        self.strake.state().join(path)
    }

    fn fsck(&self, repair: bool) -> Value {
        let args: &[&str] =
            if repair { &["system", "fsck", "--repair", "--json"] } else { &["system", "fsck", "--json"] };
        let output = self.strake.run(args);
        let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(output.code == 0, report["clean"] == true, "{output:?}");
        report
    }

    /// What a container that is not touched looks like: its process, address, files, volume.
    fn witness(&self) -> String {
        let seen = inspect(&self.strake, "live");
        let files = self.strake.ok(&["exec", "live", "cat", "/file", "/kept/file"]);
        format!("{} {} {files}", seen["State"]["Pid"], seen["NetworkSettings"])
    }
}

fn kinds(report: &Value) -> BTreeSet<&str> {
    report["flaws"].as_array().unwrap().iter().map(|flaw| flaw["kind"].as_str().unwrap()).collect()
}

fn make(path: &Path) {
    fs::create_dir_all(path).unwrap();
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// Plants something, finds exactly it, removes exactly it, and finds nothing more.
#[track_caller]
fn planted(host: &Host, kind: &str, plant: impl FnOnce(&Host)) {
    planted_with(host, kind, Host::witness, plant);
}

/// The same with a witness of the caller's.
#[track_caller]
fn planted_with(host: &Host, kind: &str, witness: impl Fn(&Host) -> String, plant: impl FnOnce(&Host)) {
    let before = witness(host);
    plant(host);
    let found = host.fsck(false);
    assert_eq!(kinds(&found), kind.split(' ').collect(), "{kind}: {found:#}");
    assert_eq!(kinds(&host.fsck(false)), kind.split(' ').collect(), "{kind}: looking changes nothing");
    let mended = host.fsck(true);
    assert_eq!(mended["clean"], true, "{kind}: {mended:#}");
    let after = host.fsck(false);
    assert_eq!((&after["clean"], kinds(&after)), (&true.into(), BTreeSet::new()), "{kind}: {after:#}");
    assert_eq!(witness(host), before, "{kind}");
}

#[test]
fn fsck_finds_and_removes_orphans_of_images() {
    isolated(|| {
        let host = Host::new();
        assert_eq!(host.fsck(false)["flaws"], Value::Array(Vec::new()));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        planted(&host, "blob-unreferenced", |host| {
            write(&host.root(&format!("content/blobs/sha256/{empty}")), "");
        });
        planted(&host, "labels-without-blob", |host| {
            write(&host.root(&format!("content/labels/sha256-{empty}.json")), "{}");
        });
        planted(&host, "ingest-abandoned", |host| write(&host.root("content/ingest/half"), "half"));
        planted(&host, "lease-expired", |host| write(&host.root("content/leases/held.pull-1"), ""));
        planted(&host, "temporary-file", |host| write(&host.root("content/names/.new-1"), "{"));
        planted(&host, "staging-abandoned", |host| make(&host.root("snapshots/staging/half/fs")));
        planted(&host, "chain-broken", |host| {
            write(&host.root(&format!("snapshots/chains/{GHOST}.json")), "{");
        });
        planted(&host, "layer-without-chain", |host| make(&host.root("snapshots/layers/99999/fs/etc")));
        planted(&host, "trash-left", |host| make(&host.root("snapshots/trash/1/fs")));
        planted(&host, "blob-unreferenced layer-unneeded", |host| {
            let names = commit(host, "forgotten");
            names.iter().for_each(|name| fs::remove_file(name).unwrap());
        });
    });
}

/// Makes an image with a layer of its own; the files that name it.
fn commit(host: &Host, image: &str) -> Vec<PathBuf> {
    let list = || -> BTreeSet<PathBuf> {
        fs::read_dir(host.root("content/names")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let before = list();
    host.strake.ok(&[
        "run",
        "--name",
        "maker",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        &format!("echo {image} > /made"),
    ]);
    host.strake.ok(&["commit", "maker", image]);
    host.strake.ok(&["rm", "maker"]);
    list().difference(&before).cloned().collect()
}

#[test]
fn fsck_reads_every_blob_again_and_drops_images_that_are_not_whole() {
    isolated(|| {
        let host = Host::new();
        let blobs = |host: &Host| -> BTreeSet<PathBuf> {
            fs::read_dir(host.root("content/blobs/sha256"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect()
        };
        let before = blobs(&host);
        commit(&host, "hurt");
        let is_layer = |path: &&PathBuf| !fs::read(path).unwrap().starts_with(b"{");
        let layer = blobs(&host).difference(&before).find(is_layer).cloned();
        let mut bytes = fs::read(layer.as_ref().unwrap()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(layer.unwrap(), bytes).unwrap();
        let found = host.fsck(false);
        assert_eq!(kinds(&found), BTreeSet::from(["blob-damaged"]), "{found:#}");
        let mended = host.fsck(true);
        assert!(mended["clean"] == true && kinds(&mended).contains("blob-missing"), "{mended:#}");
        assert_eq!(host.fsck(false)["flaws"], Value::Array(Vec::new()));
        let images = host.strake.ok(&["images", "--format", "{{.Repository}}"]);
        assert_eq!(images, "busybox", "the others are whole");
        host.strake.ok(&["run", "--rm", "--network", "none", "busybox", "true"]);
    });
}

#[test]
fn fsck_finds_and_removes_orphans_of_containers() {
    isolated(|| {
        let host = Host::new();
        let strake = &host.strake;
        planted(&host, "snapshot-damaged", |host| make(&host.root(&format!("snapshots/active/{GHOST}/fs"))));
        planted(&host, "snapshot-without-container", |host| {
            let active = host.root("snapshots/active");
            let (from, to) = (active.join(&host.live), active.join(GHOST));
            assert_eq!(run(Command::new("cp").arg("-a").arg(from).arg(&to)).code, 0);
            let record = fs::read_to_string(to.join("snapshot.json")).unwrap();
            write(&to.join("snapshot.json"), &record.replace(&host.live, GHOST));
        });
        planted(&host, "container-unfinished", |host| make(&host.root(&format!("containers/{GHOST}"))));
        planted(&host, "name-without-container", |host| symlink(GHOST, host.root("names/ghost")).unwrap());
        planted(&host, "state-without-container", |host| {
            make(&host.state(&format!("containers/{GHOST}")));
            write(&host.state(&format!("containers/{GHOST}/shim.sock")), "");
        });
        planted(&host, "runtime-without-container", |host| make(&host.state(&format!("runtime/{GHOST}"))));
        planted(&host, "log-stray", |host| {
            write(&host.root(&format!("containers/{}/{GHOST}-json.log", host.live)), "");
        });
        let idle = strake.ok(&["create", "--name", "idle", "--network", "none", "busybox"]);
        planted(&host, "state-stale", |host| {
            make(&host.state(&format!("containers/{idle}")));
            write(&host.state(&format!("containers/{idle}/shim.json")), "{}");
        });
        planted(&host, "container-removing", |host| {
            let mut rm = host.strake.command(&["rm", "idle"]);
            run(rm.env("STRAKE_FAILPOINT", "remove.marked"));
        });
        planted(&host, "container-unwatched", |host| {
            let parent = crate::status(pid(&host.strake, "live"), "PPid");
            kill_process(Pid::from_raw(parent.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
            testkit::wait_until(std::time::Duration::from_secs(10), || {
                !Path::new(&format!("/proc/{parent}")).exists()
            });
        });
        planted(&host, "mount-dead state-without-container", |host| {
            let place = host.state(&format!("containers/{GHOST}/rootfs"));
            make(&place);
            assert_eq!(run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&place)).code, 0);
        });
        planted(&host, "cgroup-without-container", |host| {
            let group =
                PathBuf::from(format!("/sys/fs/cgroup/memory{}/{GHOST}", host.strake.cgroup().path()));
            make(&group);
            assert_eq!(run(Command::new("touch").args(["-d", "2020-01-01"]).arg(&group)).code, 0);
        });
    });
}

#[test]
fn fsck_keeps_what_users_wrote_and_says_what_it_cannot_mend() {
    isolated(|| {
        let host = Host::new();
        planted(&host, "volume-without-data", |host| {
            make(&host.root("volumes/half"));
            write(&host.root("volumes/half/volume.json"), "{}");
        });
        assert!(!host.root("volumes/half").exists());
        planted(&host, "volume-without-record", |host| {
            make(&host.root("volumes/found/_data"));
            write(&host.root("volumes/found/_data/file"), "precious");
        });
        assert_eq!(fs::read_to_string(host.root("volumes/found/_data/file")).unwrap(), "precious");
        assert!(host.strake.ok(&["volume", "ls", "-q"]).contains("found"));

        let hurt =
            host.strake.ok(&["create", "--name", "hurt", "-v", "gone:/gone", "--network", "none", "busybox"]);
        fs::remove_dir_all(host.root("volumes/gone")).unwrap();
        let found = host.fsck(true);
        assert_eq!(kinds(&found), BTreeSet::from(["volume-missing"]), "{found:#}");
        assert_eq!(found["flaws"][0]["repaired"], false, "{found:#}");
        write(&host.root(&format!("containers/{hurt}/container.json")), "not a record");
        let found = host.fsck(true);
        assert_eq!(kinds(&found), BTreeSet::from(["container-damaged"]), "{found:#}");
        assert!(found["flaws"][0]["problem"].as_str().unwrap().contains("strake rm -f"), "{found:#}");
        host.strake.ok(&["rm", "-f", &hurt]);
        assert_eq!(host.fsck(false)["flaws"], Value::Array(Vec::new()));
    });
}

#[test]
fn fsck_finds_and_removes_orphans_of_networks() {
    isolated(|| {
        let host = Host::new();
        planted(&host, "address-without-container", |host| {
            let path = host.state("networks/ledger.json");
            let mut ledger: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let mut ghost = ledger["holders"][0].clone();
            ghost["id"] = GHOST.into();
            ghost["address"] = "172.17.0.200".into();
            ghost["host_link"] = "vethghost".into();
            ghost["ports"] = Value::Array(Vec::new());
            ledger["holders"].as_array_mut().unwrap().push(ghost);
            write(&path, &ledger.to_string());
        });
        planted(&host, "attachment-without-address", |host| {
            write(&host.state(&format!("networks/attachments/{GHOST}")), "[]");
        });
        planted(&host, "link-without-container", |host| {
            let path = host.state("networks/ledger.json");
            let ledger: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let held = ledger["holders"][0]["host_link"].as_str().unwrap().to_owned();
            let shown = run(Command::new("ip").args(["-j", "link", "show", &held]));
            let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
            let bridge = shown[0]["master"].as_str().unwrap().to_owned();
            let stray = format!("{}{}", &held[..held.len() - 3], "fff");
            let add = ["link", "add", &stray, "type", "veth", "peer", "name", "strayp"];
            assert_eq!(run(Command::new("ip").args(add)).code, 0);
            assert_eq!(run(Command::new("ip").args(["link", "set", &stray, "master", &bridge])).code, 0);
        });
    });
}

#[test]
fn fsck_finds_and_mends_what_helpers_have_left() {
    isolated(|| {
        let host = Host::new();
        let socket = host.state("networks/warden/socket");
        // The one who works and the one who stands by: nobody takes over.
        let kill_both = |host: &Host| {
            let wardens = || crate::networks::warden_processes(&host.strake);
            for pid in wardens() {
                let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::STOP);
            }
            // The one who works may just have made the other.
            testkit::wait_for("both to be gone", || {
                for pid in wardens() {
                    let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL);
                }
                wardens().is_empty().then_some(())
            });
            assert!(socket.exists(), "they had no time to remove it");
        };
        planted(&host, "companion-missing", kill_both);
        assert!(!crate::networks::warden_processes(&host.strake).is_empty(), "another one works");
        planted(&host, "pod-without-sandbox", |host| {
            make(&host.state("network/pods"));
            write(&host.state(&format!("network/pods/{GHOST}")), "{}");
        });
        planted(&host, "pod-without-sandbox", |host| {
            let path = host.state("networks/ledger.json");
            let mut ledger: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let mut ghost = ledger["holders"][0].clone();
            ghost["id"] = GHOST.into();
            ghost["network"] = "pods".into();
            ghost["address"] = "10.42.0.9".into();
            ghost["host_link"] = "podghost".into();
            ledger["holders"] = Value::Array(vec![ghost]);
            write(&host.state("network/ledger.json"), &ledger.to_string());
            let add = ["link", "add", "podghost", "type", "veth", "peer", "name", "podpeer"];
            assert_eq!(run(Command::new("ip").args(add)).code, 0);
        });
        assert_ne!(run(Command::new("ip").args(["link", "show", "podghost"])).code, 0, "its link is gone");
        planted(&host, "namespace-pinned", |host| {
            make(&host.state("networks/namespaces"));
            let pin = host.state(&format!("networks/namespaces/{GHOST}-eth0"));
            write(&pin, "");
            let net = format!("/proc/{}/ns/net", pid(&host.strake, "live"));
            assert_eq!(run(Command::new("mount").arg("--bind").arg(net).arg(&pin)).code, 0);
        });
        // When the last who needs it is gone, its socket alone is left.
        kill_both(&host);
        host.strake.ok(&["rm", "-f", "live"]);
        let found = host.fsck(true);
        let stale = BTreeSet::from(["companion-stale"]);
        assert_eq!((kinds(&found), &found["clean"]), (stale, &true.into()), "{found:#}");
        assert!(!socket.exists() && host.fsck(false)["clean"] == true);
    });
}

#[test]
fn fsck_finds_and_removes_what_nobody_has_in_our_table() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // Without a port there is no companion that would put it right first.
        let live = strake.ok(&["run", "-d", "--name", "live", "busybox", "sleep", "3600"]);
        let host = Host { strake, live };
        let nft = |line: &str| assert_eq!(run(Command::new("nft").arg(line)).code, 0, "{line}");
        let table = || run(Command::new("nft").args(["list", "table", "ip", "strake"])).stdout;
        let before = table();
        for foreign in [
            "add element ip strake published { tcp . 9999 : 172.30.0.77 . 80 }",
            "add element ip strake open { udp . 53 }",
            "add rule ip strake isolate accept",
            "flush chain ip strake publish",
            "delete table ip strake",
        ] {
            planted_with(&host, "rules-changed", strake_state, |_| nft(foreign));
            assert_eq!(table(), before, "{foreign}");
        }
        // Also when nobody is attached any more.
        host.strake.ok(&["rm", "-f", "live"]);
        assert_eq!(host.fsck(false)["clean"], true);
        nft("add element ip strake published { tcp . 9999 : 172.30.0.77 . 80 }");
        assert_eq!(kinds(&host.fsck(true)), BTreeSet::from(["rules-changed"]));
        assert_eq!(host.fsck(false)["clean"], true);
        assert!(!table().contains("9999"), "{}", table());
    });
}

/// What does not change of a container that is not touched.
fn strake_state(host: &Host) -> String {
    let seen = inspect(&host.strake, "live");
    format!("{} {} {}", host.live, seen["State"]["Pid"], seen["NetworkSettings"])
}

#[test]
fn fsck_finds_and_undoes_what_plugins_made_for_nobody() {
    isolated(|| {
        let host = Host::new();
        let directory = host.strake.home().join("net.d");
        make(&directory);
        let plugin = serde_json::json!({"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24",
            "dataDir": host.strake.home().join("leases")}});
        let list = serde_json::json!({"cniVersion": "1.0.0", "name": "theirs", "plugins": [plugin]});
        write(&directory.join("theirs.conflist"), &list.to_string());
        let strake = |args: &[&str]| {
            let mut command = host.strake.command(args);
            command.env("STRAKE_CNI_CONF_DIR", &directory);
            command
        };
        planted(&host, "plugins-without-container", |host| {
            // As a crash leaves it: what plugins made is known, and whom for is not.
            let args = ["run", "-d", "--name", "ghost", "--network", "theirs", "busybox", "sleep", "3600"];
            let id = run(&mut strake(&args)).ok().to_owned();
            let cache = run(Command::new("sh")
                .arg("-c")
                .arg(format!("grep -rl {id} {}", host.root("networks/cni").display())));
            let saved: Vec<(PathBuf, Vec<u8>)> =
                cache.ok().lines().map(|path| (PathBuf::from(path), fs::read(path).unwrap())).collect();
            assert!(!saved.is_empty());
            assert_eq!(run(&mut strake(&["rm", "-f", "ghost"])).code, 0);
            saved.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        });
    });
}
