//! SIGKILL again and again while many write, watch, collect garbage and delete namespaces.
//!
//! ```text
//! writers ─▶ model (what is acknowledged) ◀── compared ── lists: latest, rv=0, pages, older revisions
//! watchers ─▶ views (what events add up to) ◀─┘
//! ```
//! A write without an answer may have happened or not, but whole: its writer looks after the restart
//! and takes what it finds into the model. Then all must be equal.

mod chores;
mod model;
mod state;
mod watchers;
mod writers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::kube::KubeServer;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use super::wire::{Target, Wire};
use crate::chaos::Dice;
use chores::Chores;
use model::{Lists, Model};
use state::Directory;
use watchers::Watchers;

/// Kills in continuous integration; `cargo xtask torture api` makes 1,000.
const KILLS: u64 = 25;
/// Writers, each with objects of its own.
const WRITERS: u64 = 6;
/// Every so many rounds the server is killed while it starts, too.
const START_KILLED_EVERY: u64 = 6;

/// What writers and watchers share.
#[derive(Clone)]
pub(super) struct Shared {
    target: Target,
    model: Arc<Model>,
    /// Writers hold it for reading while something is under way.
    pause: Arc<RwLock<()>>,
    /// The number of the round; the senders's end is the end.
    round: watch::Receiver<u64>,
}

#[test]
fn no_kill_loses_an_acknowledged_write_or_an_event() {
    let kills = kills();
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("{kills} kills, seed {seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut server = KubeServer::start();
    let directory = Directory::of(&server);
    let (round, rounds) = watch::channel(0);
    let shared =
        Shared { target: Target::of(&server), model: Arc::default(), pause: Arc::default(), round: rounds };
    runtime.block_on(model::prepare(&shared));
    let mut dice = Dice(seed | 1);
    let mut tasks = JoinSet::new();
    for number in 0..WRITERS {
        let writer = writers::Writer::new(&shared, number, dice.roll(u64::MAX) | 1);
        tasks.spawn_on(writer.run(), runtime.handle());
    }
    let watchers = Watchers::spawn(&shared, &mut tasks, runtime.handle());
    let chores = Chores::default();
    tasks.spawn_on(chores.clone().run(shared.clone()), runtime.handle());
    let mut lists = Lists::new(Wire::new(&shared.target));
    let started = Instant::now();
    for kill in 1..=kills {
        round.send_replace(kill);
        let until = Instant::now() + Duration::from_micros(20_000 + dice.roll(250_000));
        while Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
        if kill % START_KILLED_EVERY == 0 {
            server.crash_while_starting(Duration::from_micros(dice.roll(200_000)));
        }
        server.crash_and_restart();
        directory.assert_same(&server);
        runtime.block_on(async {
            let still = Arc::clone(&shared.pause).write_owned().await;
            fail_early(&mut tasks);
            lists.compare(&shared.model).await;
            watchers.catch_up(&shared.model).await;
            drop(still);
        });
        if kill % 50 == 0 {
            println!("{kill} kills in {:.0?}: {}", started.elapsed(), shared.model.summary(&watchers));
        }
    }
    drop(round);
    runtime.block_on(async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        chores.assert_done(&mut Wire::new(&shared.target)).await;
    });
    directory.assert_same(&server);
    println!("{kills} kills in {:.0?}: {}", started.elapsed(), shared.model.summary(&watchers));
    // A run in which nothing was cut off, or nothing got through, would show nothing.
    assert!(shared.model.lost() > 0, "no write was cut off");
    assert!(shared.model.acknowledged() > kills * 10, "too few writes got through");
}

/// A task that found something wrong says so at once.
fn fail_early(tasks: &mut JoinSet<()>) {
    if let Some(ended) = tasks.try_join_next() {
        ended.unwrap();
        panic!("a task ended before the end");
    }
}

#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn kills() -> u64 {
    std::env::var("STRAKE_KILLS").map_or(KILLS, |text| text.parse().expect("STRAKE_KILLS is a number"))
}
