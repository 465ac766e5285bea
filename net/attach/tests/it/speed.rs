//! How long an attach takes. Printed; only a gross regression fails.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use attach::Networks;
use testkit::isolated;

use crate::world::{Netns, World, request, sh};

#[test]
fn attaching_takes_about_a_millisecond() {
    isolated(|| {
        let world = World::new();
        // The state root is a tmpfs, as /run is.
        let state = world.dir.join("tmpfs");
        sh(&format!("mkdir {0} && mount -t tmpfs none {0}", state.display()));
        let networks = Networks::open(&world.dir.join("data"), &state).expect("open");
        let first = Netns::new();
        networks.attach(&request("first", &["80"]), first.file.as_fd()).expect("attach");
        let mut times = (Vec::new(), Vec::new());
        let mut alive = Vec::new();
        for round in 0..40 {
            let netns = Netns::new();
            let id = format!("c{round}");
            let ask = request(&id, &["80"]);
            let start = Instant::now();
            networks.attach(&ask, netns.file.as_fd()).expect("attach");
            times.0.push(start.elapsed());
            alive.push(netns);
        }
        for round in 0..40 {
            let id = base::ContainerId::parse(&format!("c{round}")).expect("id");
            let start = Instant::now();
            networks.detach(&id).expect("detach");
            times.1.push(start.elapsed());
        }
        for (what, times) in [("attach", &mut times.0), ("detach", &mut times.1)] {
            times.sort_unstable();
            let (half, worst) = (times[times.len() / 2], times[times.len() - 1]);
            println!("{what}: p50 {half:?}, max {worst:?}");
            assert!(half < Duration::from_millis(50), "{what} takes {half:?}");
        }
    });
}
