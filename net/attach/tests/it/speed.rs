//! How long an attach takes. Printed; only a gross regression fails.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use testkit::isolated;

use crate::world::{Netns, World, request};

#[test]
fn attaching_takes_about_a_millisecond() {
    isolated(|| {
        let world = World::new();
        let (_first, _) = world.container("first", &["80"]);
        let mut times = (Vec::new(), Vec::new());
        let mut alive = Vec::new();
        for round in 0..40 {
            let netns = Netns::new();
            let id = format!("c{round}");
            let ask = request(&id, &["80"]);
            let start = Instant::now();
            world.networks.attach(&ask, netns.file.as_fd()).expect("attach");
            times.0.push(start.elapsed());
            alive.push(netns);
        }
        for round in 0..40 {
            let id = base::ContainerId::parse(&format!("c{round}")).expect("id");
            let start = Instant::now();
            world.networks.detach(&id).expect("detach");
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
