//! SIGKILL at every named point: no address is given twice, nothing stays for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::process::Command;

use attach::{Attachment, FAILPOINTS, NewNetwork};
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
    let (point, verb, id, network) = (word(), word(), word(), word());
    let (data, state, netns) = (word(), word(), word());
    base::failpoint::arm(point, 0, die);
    let data: &std::path::Path = data.as_ref();
    let configurations = data.with_file_name("net.d");
    let networks = crate::chain::networks(data, state.as_ref(), configurations);
    if verb == "attach" {
        let netns = std::fs::File::open(netns).expect("namespace");
        let mut request = request(id, &["80/tcp", "53/udp"]);
        if network == "deb" {
            request = crate::world::request(id, &["8080:80"]);
        }
        network.clone_into(&mut request.network);
        let _ = networks.attach(&request, netns.as_fd());
    } else {
        networks.detach(&ContainerId::parse(id).expect("id")).expect("detach");
    }
}

/// Runs one operation in a process of its own that is killed at `point`.
fn killed(world: &World, point: &str, verb: &str, id: &str, netns: &Netns) {
    killed_in(world, "bridge", (point, verb, id), netns);
}

/// The same about another network than the default one.
pub(crate) fn killed_in(world: &World, network: &str, (point, verb, id): (&str, &str, &str), netns: &Netns) {
    use std::os::fd::AsRawFd as _;
    let netns = format!("/proc/{}/fd/{}", std::process::id(), netns.file.as_raw_fd());
    let (data, state) = (world.dir.join("data"), world.dir.join("state"));
    let plan = format!("{point} {verb} {id} {network} {} {} {netns}", data.display(), state.display());
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
fn a_thousand_addresses_and_crashes_and_none_is_given_twice() {
    isolated(|| {
        let world = World::new();
        let new = NewNetwork {
            name: "small".to_owned(),
            id: "5".repeat(64),
            subnet: "10.66.0.0/26".parse().ok(),
            ipv6: true,
            ..NewNetwork::default()
        };
        world.networks.create(&new).expect("make the network");
        let mut held: BTreeMap<String, (Netns, Vec<IpAddr>)> = BTreeMap::new();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).expect("small")
        };
        let (mut given, mut round) = (0, 0);
        while given < 1000 {
            round += 1;
            let id = format!("c{round}");
            let network = ["bridge", "small"][random(2)];
            if round % 40 == 39 {
                // A victim that holds what the ledger says until it is reconciled.
                let netns = Netns::new();
                let point = FAILPOINTS[(round / 40) % 5];
                killed_in(&world, network, (point, "attach", &id), &netns);
            } else if held.len() > 30 || (!held.is_empty() && random(3) == 0) {
                let victim = held.keys().nth(random(held.len())).expect("some").clone();
                world.detach(&victim);
                held.remove(&victim);
            } else {
                let netns = Netns::new();
                let mut request = request(&id, &[]);
                network.clone_into(&mut request.network);
                let attached = world.networks.attach(&request, netns.file.as_fd()).expect("attach");
                given += 1;
                let own = addresses(&attached);
                let twice = held.values().any(|(_, others)| others.iter().any(|other| own.contains(other)));
                assert!(!twice, "{own:?} again in round {round}");
                held.insert(id, (netns, own));
            }
            if round % 100 == 99 {
                let live: BTreeSet<_> = held.keys().map(|id| ContainerId::parse(id).expect("id")).collect();
                world.networks.reconcile(|id| live.contains(id)).expect("reconcile");
            }
        }
        let records = world.networks.attachments().expect("list");
        let recorded: BTreeSet<_> = records.iter().flat_map(addresses).collect();
        assert_eq!(recorded, held.values().flat_map(|(_, own)| own.iter().copied()).collect());
    });
}

fn addresses(attached: &Attachment) -> Vec<IpAddr> {
    let six = attached.ipv6.map(|six| IpAddr::V6(six.address));
    std::iter::once(IpAddr::V4(attached.address)).chain(six).collect()
}
