//! What the container's memory cgroup tells: while it runs, and at its end.
//!
//! The kernel counts OOM kills in the cgroup itself (`oom_kill` in v1's `memory.oom_control` and
//! v2's `memory.events`) and wakes whoever subscribed: so each is told at once, and what happened
//! while no shim watched is told by the next one, or at the end.
//!
//! v1 wakes *before* it kills, and the kernel's log names the victim after the count has risen: a
//! timer has another look.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use cgroup::{Cgroup, OomWatch};
use rustix::event::epoll::EventFlags;

use super::cause::Memory;
use super::container::Container;
use super::poller::{Poller, Source};
use super::supervisor::Supervisor;
use super::timer;
use crate::oom::{KEPT, OomKill, OomKills};
use crate::protocol::Setup;
use crate::{Timestamp, Victim};

/// What the memory of a container is watched with.
#[derive(Debug, Default)]
pub(super) struct MemoryWatch {
    cgroup: Option<Cgroup>,
    watch: Option<OomWatch>,
    /// Another look is due then.
    again: Option<OwnedFd>,
    /// How long that look was waited for, since the event.
    waited: Duration,
    /// When the kernel's log was read last.
    read_at: Option<Instant>,
    known: OomKills,
}

impl MemoryWatch {
    /// Subscribes, where the container has a cgroup whose memory is counted.
    pub(super) fn begin(setup: &Setup, adopted: bool, poller: &Poller) -> Self {
        let cgroup = Container::cgroup_of(setup);
        let watch = cgroup.as_ref().and_then(|cgroup| cgroup.watch_oom().ok());
        let watch = watch.filter(|watch| poller.add(watch.as_fd(), Source::Memory, EventFlags::IN).is_ok());
        Self { cgroup, watch, known: known(setup, adopted), ..Self::default() }
    }

    /// How many processes of the container the OOM killer has taken so far.
    pub(super) fn count(&self) -> u64 {
        self.cgroup.as_ref().and_then(|cgroup| cgroup.dir_of("memory")).map_or(0, oom_kills)
    }

    /// What has happened since the last look. While it is `patient`, a kill whose victim is not
    /// known yet has not happened.
    fn look(&mut self, patient: bool) -> Vec<OomKill> {
        let Some(cgroup) = self.cgroup.as_ref().filter(|_| self.count() > self.known.count) else {
            return Vec::new();
        };
        self.read_at = Some(Instant::now());
        let mut victims = cgroup.victims();
        // Counted before it is logged: whoever was read of is in this count.
        let count = self.count();
        let new = usize::try_from(count.saturating_sub(self.known.count)).unwrap_or(usize::MAX).min(KEPT);
        victims.retain(|victim| victim.at_us > self.known.log_us);
        victims.drain(..victims.len().saturating_sub(new));
        if patient && (victims.len() < new || victims.iter().any(|victim| victim.oom_score_adj.is_none())) {
            return Vec::new();
        }
        let log_us = victims.last().map_or(self.known.log_us, |victim| victim.at_us);
        let limit = cgroup.stats().memory.limit_bytes;
        let unnamed = OomKill { limit, ..OomKill::at(Timestamp::now()) };
        let mut kills = vec![unnamed.clone(); new - victims.len()];
        kills.extend(victims.into_iter().filter(|victim| !victim.again).map(|victim| OomKill {
            limit: victim.limit_bytes.or(limit),
            usage: victim.usage_bytes,
            anon: victim.anon_bytes,
            file: victim.file_bytes,
            whole_group: victim.whole_group,
            victim: Some(Victim {
                pid: victim.pid,
                command: victim.name,
                oom_score_adj: victim.oom_score_adj,
            }),
            ..unnamed
        }));
        self.known.count = count;
        self.known.log_us = log_us;
        self.known.push(&kills);
        kills
    }

    /// When there is to be another look; none when enough was waited. The kernel's log is not read
    /// more often than once a second or so: a container may run out of memory all the time.
    fn next_look(&mut self) -> Option<Duration> {
        let wait = (self.waited + FIRST_LOOK).min(LAST_LOOK);
        self.waited += wait;
        (self.waited < GIVEN_UP).then_some(wait)
    }

    /// What is known at the end. Limit and peak are looked for only when there was a kill: most
    /// ends pay for one small file.
    fn at_end(&self) -> Memory {
        let Some(cgroup) = self.cgroup.as_ref().filter(|_| self.known.count > 0) else {
            return Memory::default();
        };
        let stats = cgroup.stats().memory;
        Memory {
            oom_kills: self.known.count,
            limit: stats.limit_bytes,
            peak: stats.peak_bytes,
            victims: self.known.kills.iter().filter_map(|kill| kill.victim.clone()).collect(),
            kills: self.known.kills.clone(),
        }
    }
}

/// What is known of this run. What was recorded of an earlier one goes.
fn known(setup: &Setup, adopted: bool) -> OomKills {
    let recorded = OomKills::read(&setup.record_dir);
    if adopted || recorded == OomKills::default() {
        return recorded;
    }
    let fresh = recorded.of_next_run();
    if recorded.count > 0 {
        // With a full disk the old ones are shown until the next kill.
        let _ = fresh.write(&setup.record_dir);
    }
    fresh
}

impl Supervisor {
    /// Begins to watch the memory of a container that is made or taken over.
    pub(super) fn begin_memory(&mut self) {
        self.memory = MemoryWatch::begin(&self.state.setup, self.adopted, &self.poller);
        let kills = self.memory.look(false);
        if !kills.is_empty() {
            self.tell_kills(&kills);
        }
    }

    /// The kernel wakes us: there is, or is about to be, a kill.
    pub(super) fn on_memory(&mut self) {
        let Some(watch) = &mut self.memory.watch else { return };
        let events = watch.events();
        if events.gone {
            self.poller.remove(watch.as_fd());
            self.memory.watch = None;
        } else if events.out_of_memory && self.memory.again.is_none() {
            self.memory.waited = Duration::ZERO;
            let lately = self.memory.read_at.is_some_and(|at| at.elapsed() < LAST_LOOK);
            match lately {
                true => self.look_again_in(LAST_LOOK),
                false => self.look_at_memory(true),
            }
        }
    }

    /// The time of another look has come.
    pub(super) fn on_memory_again(&mut self) {
        self.memory.again = None;
        self.look_at_memory(self.memory.waited < PATIENCE);
    }

    fn look_at_memory(&mut self, patient: bool) {
        let kills = self.memory.look(patient);
        if !kills.is_empty() {
            return self.tell_kills(&kills);
        }
        if self.memory.watch.is_some()
            && let Some(wait) = self.memory.next_look()
        {
            self.look_again_in(wait);
        }
    }

    fn look_again_in(&mut self, wait: Duration) {
        // Without a timer it is told at the end.
        self.memory.again = timer::after(wait, Source::MemoryAgain, &self.poller).ok();
    }

    fn tell_kills(&mut self, kills: &[OomKill]) {
        if let Err(error) = self.memory.known.write(&self.state.setup.record_dir) {
            self.note(&format!("record that container {} ran out of memory: {error}", self.container.id));
        }
        tell(&self.state.setup, kills);
    }

    /// The end has come: what was not told yet is told, and all that is known is given.
    pub(super) fn end_memory(&mut self) -> Memory {
        let kills = self.memory.look(false);
        if !kills.is_empty() {
            self.tell_kills(&kills);
        }
        let memory = self.memory.at_end();
        if let Some(watch) = self.memory.watch.take() {
            self.poller.remove(watch.as_fd());
        }
        self.memory.again = None;
        memory
    }
}

/// The same for a container that ended while no shim watched.
pub(super) fn end_unwatched(setup: &Setup) -> Memory {
    let cgroup = Container::cgroup_of(setup);
    let mut memory = MemoryWatch { cgroup, known: known(setup, true), ..MemoryWatch::default() };
    let kills = memory.look(false);
    if !kills.is_empty() {
        let _ = memory.known.write(&setup.record_dir);
        tell(setup, &kills);
    }
    memory.at_end()
}

/// Tells of each kill, as docker does; whose it was is beside that.
fn tell(setup: &Setup, kills: &[OomKill]) {
    for kill in kills {
        let victim = kill.victim.as_ref();
        let more =
            victim.map(|victim| [("pid", victim.pid.to_string()), ("process", victim.command.clone())]);
        let more = more.as_ref().map_or(&[][..], |more| more);
        crate::events::tell(&setup.record_dir, &setup.id, "oom", more);
    }
}

fn oom_kills(dir: &Path) -> u64 {
    let files = ["memory.oom_control", "memory.events"];
    let text = files.iter().find_map(|file| fs::read_to_string(dir.join(file)).ok());
    parse_kills(&text.unwrap_or_default())
}

fn parse_kills(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The first look after one that came too early; each is later than the one before.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// How long two looks are apart at most, and at least when there is one kill after the other.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// How long the log is given to name the victim.
const PATIENCE: Duration = Duration::from_millis(100);
/// Without a kill by then there is none: the lack was over before, or the container may not be
/// killed for it.
const GIVEN_UP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        assert_eq!(parse_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(parse_kills("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(parse_kills(""), 0);
    }

    #[test]
    fn looks_are_further_and_further_apart_and_end() {
        let mut memory = MemoryWatch::default();
        let waits: Vec<Duration> = std::iter::from_fn(|| memory.next_look()).collect();
        assert!(waits.is_sorted() && waits[0] == FIRST_LOOK && waits.last() == Some(&LAST_LOOK), "{waits:?}");
        assert!((20..=40).contains(&waits.len()), "{waits:?}");
        assert!(waits.iter().sum::<Duration>() < GIVEN_UP);
    }
}
