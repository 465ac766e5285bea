//! What crashes leave, and that it is put right.

use std::time::Duration;

use engine::{Lifecycle, RemoveOptions};
use rustix::process::{Pid, Signal, kill_process};
use testkit::isolated;

use crate::world::World;

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// The supervisor of a running container.
fn shim_pid(world: &World, record: &engine::Record) -> i32 {
    world.engine.connect(record).unwrap().status().unwrap().shim_pid
}

#[test]
fn a_container_whose_supervisor_was_killed_lives_on() {
    isolated(|| {
        let world = World::new();
        let record = world.start(world.request("sleep 1000"));
        let before = record.lifecycle.pid();
        kill(shim_pid(&world, &record));
        assert_eq!(world.exec(&record, "echo lives"), (0, "lives\n".to_owned()));
        assert_eq!(world.engine.look(&record.id).unwrap().lifecycle.pid(), before);
        world.engine.stop(&record.id, None, Some(0)).unwrap();
        assert!(matches!(world.engine.look(&record.id).unwrap().lifecycle, Lifecycle::Exited { .. }));
    });
}

#[test]
fn an_end_that_nobody_saw_is_recorded_as_unknown() {
    isolated(|| {
        let world = World::new();
        let record = world.start(world.request("sleep 1000"));
        kill(shim_pid(&world, &record));
        kill(record.lifecycle.pid().unwrap());
        let gone = || !world.engine.look(&record.id).unwrap().lifecycle.is_running();
        testkit::wait_until(Duration::from_secs(10), gone);
        assert!(!world.engine.paths().state_dir(&record.id).exists());
        world.engine.remove(&record.id, RemoveOptions::default()).unwrap();
    });
}

#[test]
fn a_lost_state_root_is_the_end_of_what_ran() {
    isolated(|| {
        let world = World::new();
        let record = world.start(world.request("sleep 1000"));
        kill(shim_pid(&world, &record));
        kill(record.lifecycle.pid().unwrap());
        std::fs::remove_dir_all(world.engine.paths().state_dir(&record.id)).unwrap();
        let done = world.engine.reconcile().unwrap();
        assert_eq!(done.ended, std::slice::from_ref(&record.id));
        let Lifecycle::Exited { exit } = world.engine.look(&record.id).unwrap().lifecycle else {
            panic!("runs")
        };
        assert_eq!(exit.code, None);
    });
}

#[test]
fn a_creation_that_was_cut_off_is_undone() {
    isolated(|| {
        let world = World::new();
        let id = engine::container::generate_id([7; 32]);
        let reservation = world.engine.containers().reserve(&id, "half").unwrap();
        // As a crash leaves it: the lock is gone, directory and name are there.
        std::mem::forget(reservation);
        let directory = world.engine.paths().record_dir(&id);
        assert!(directory.is_dir());
        assert!(world.engine.list().unwrap().is_empty());
        // The forgotten lock is ours; another open of the directory does not get it.
        assert!(world.engine.reconcile().unwrap().unfinished.is_empty(), "whoever holds the lock may go on");
    });
}
