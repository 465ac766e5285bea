//! SIGKILL at every named point: no address is given twice, nothing stays for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::process::Command;

use attach::{FAILPOINTS, Networks};
use base::ContainerId;
use testkit::isolated;

use crate::world::{Netns, World, request, sh};

const CHILD: &str = "STRAKE_ATTACH_CHILD";

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

/// In the child: one operation on the world of the parent, killed at a failpoint.
fn child(plan: &str) {
    let mut words = plan.split(' ');
    let mut word = || words.next().expect("a plan");
    let (point, verb, id, data, state, netns) = (word(), word(), word(), word(), word(), word());
    base::failpoint::arm(point, 0, die);
    let networks = Networks::open(data.as_ref(), state.as_ref()).expect("open");
    if verb == "attach" {
        let netns = std::fs::File::open(netns).expect("namespace");
        let _ = networks.attach(&request(id, &["80/tcp", "53/udp"]), netns.as_fd());
    } else {
        networks.detach(&ContainerId::parse(id).expect("id")).expect("detach");
    }
}

/// Runs one operation in a process of its own that is killed at `point`.
fn killed(world: &World, point: &str, verb: &str, id: &str, netns: &Netns) {
    use std::os::fd::AsRawFd as _;
    let netns = format!("/proc/{}/fd/{}", std::process::id(), netns.file.as_raw_fd());
    let (data, state) = (world.dir.join("data"), world.dir.join("state"));
    let plan = format!("{point} {verb} {id} {} {} {netns}", data.display(), state.display());
    let exe = std::env::current_exe().expect("this test");
    let status = Command::new(exe)
        .args(["crash::the_child_of_a_crash", "--exact", "--nocapture"])
        .env(CHILD, plan)
        .output()
        .expect("run")
        .status;
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(status.signal(), Some(9), "{verb} was not killed at {point}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn the_child_of_a_crash() {
    if let Ok(plan) = std::env::var(CHILD) {
        child(&plan);
    }
}

#[test]
fn a_crash_at_any_point_is_mended() {
    isolated(|| {
        let world = World::new();
        let (_stay, _) = world.container("stay", &["8080:80"]);
        let live: BTreeSet<ContainerId> = [ContainerId::parse("stay").expect("id")].into();
        for point in FAILPOINTS {
            let netns = Netns::new();
            let verb = point.split('.').next().expect("a verb");
            if verb == "detach" {
                world.attach(&netns, "victim", &["81/tcp", "53/udp"]).expect("attach");
            }
            killed(&world, point, verb, "victim", &netns);
            // The next operation works beside what was left…
            let (beside, other) = world.container("beside", &[]);
            let held = world.networks.attachments().expect("list");
            let addresses: BTreeSet<_> = held.iter().map(|a| a.address).collect();
            assert_eq!(addresses.len(), held.len(), "{point}");
            assert!(world.networks.describe(&other.id).expect("read").is_some());
            world.detach("beside");
            drop(beside);
            // …the same container can be attached again…
            world.detach("victim");
            world.attach(&Netns::new(), "victim", &["82/tcp"]).expect("attach again");
            world.detach("victim");
            // …and reconciling leaves what lives and nothing else.
            world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
            let links = sh("ip -o link show master strake0");
            assert_eq!(links.lines().count(), 1, "{point}: {links}");
            let table = sh("nft list map ip strake published");
            assert_eq!(table.matches("tcp . ").count(), 1, "{point}: {table}");
            assert_eq!(world.networks.attachments().expect("list").len(), 1, "{point}");
        }
    });
}

#[test]
fn an_address_is_never_given_twice() {
    isolated(|| {
        let world = World::new();
        let mut held: BTreeMap<String, (Netns, Ipv4Addr)> = BTreeMap::new();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).expect("small")
        };
        for round in 0..500 {
            let id = format!("c{round}");
            if round % 50 == 49 {
                // A victim that holds what the ledger says until it is reconciled.
                let netns = Netns::new();
                let point = FAILPOINTS[(round / 50) % 5];
                killed(&world, point, "attach", &id, &netns);
            } else if held.len() > 20 || (!held.is_empty() && random(3) == 0) {
                let victim = held.keys().nth(random(held.len())).expect("some").clone();
                world.detach(&victim);
                held.remove(&victim);
            } else {
                let (netns, attached) = world.container(&id, &[]);
                let twice = held.values().any(|(_, address)| *address == attached.address);
                assert!(!twice, "{} again in round {round}", attached.address);
                held.insert(id, (netns, attached.address));
            }
            if round % 100 == 99 {
                let live: BTreeSet<_> = held.keys().map(|id| ContainerId::parse(id).expect("id")).collect();
                world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
            }
        }
        let records = world.networks.attachments().expect("list");
        let recorded: BTreeSet<_> = records.iter().map(|a| a.address).collect();
        assert_eq!(recorded, held.values().map(|(_, address)| *address).collect());
    });
}
