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

/// What the runtime and the kernel keep of a container.
fn remains(world: &World, id: &base::ContainerId) -> Vec<std::path::PathBuf> {
    let cgroups = ["memory", "pids", "unified"].map(|controller| world.cgroup_dir(controller).join(id));
    let paths = world.engine.paths();
    let mut all = vec![paths.runtime().join(id), paths.state_dir(id), paths.record_dir(id)];
    all.extend(cgroups);
    all.retain(|path| path.exists());
    all
}

#[test]
fn a_supervisor_killed_after_the_end_was_recorded_leaves_nothing() {
    isolated(|| {
        for failpoint in ["shim.exit-recorded", "shim.waiters-answered", "shim.deleted"] {
            for auto_remove in [true, false] {
                let mut world = World::new();
                world.engine = world.reopened().with_shim_failpoint(Some(failpoint.to_owned()));
                let mut request = world.request("sleep 1000");
                request.auto_remove = auto_remove;
                let record = world.start(request);
                let shim = shim_pid(&world, &record);
                kill(record.lifecycle.pid().unwrap());
                let gone = || !shim::is_alive(&world.engine.paths().state_dir(&record.id));
                assert!(testkit::wait_until(Duration::from_secs(10), gone), "{failpoint}: {shim} lives");
                let done = world.reopened().reconcile().unwrap();
                assert!(done.problems.is_empty(), "{failpoint}: {:?}", done.problems);
                if !auto_remove {
                    world.engine.remove(&record.id, RemoveOptions::default()).unwrap();
                }
                let left = remains(&world, &record.id);
                assert!(left.is_empty(), "{failpoint}, --rm {auto_remove}: {left:?}");
            }
        }
    });
}

#[test]
fn remains_without_a_record_are_removed_and_what_lives_is_not() {
    isolated(|| {
        let world = World::new();
        let lost = world.start(world.request("sleep 1000"));
        let pid = lost.lifecycle.pid().unwrap();
        kill(shim_pid(&world, &lost));
        let dead = || !shim::is_alive(&world.engine.paths().state_dir(&lost.id));
        assert!(testkit::wait_until(Duration::from_secs(10), dead));
        std::fs::remove_dir_all(world.engine.paths().record_dir(&lost.id)).unwrap();
        let done = world.engine.reconcile().unwrap();
        assert!(done.problems.iter().any(|problem| problem.contains(&format!("process {pid}"))), "{done:?}");
        kill(pid);
        let ended = || world.engine.reconcile().unwrap().problems.is_empty();
        assert!(testkit::wait_until(Duration::from_secs(10), ended));
        assert_eq!(remains(&world, &lost.id), Vec::<std::path::PathBuf>::new());
    });
}

#[test]
fn a_process_id_that_was_given_again_is_not_joined() {
    isolated(|| {
        let world = World::new();
        let first = world.start(world.request("sleep 1000"));
        let mut request = world.request("true");
        request.namespaces.pid = engine::request::PidMode::Container(first.id.to_string());
        let second = world.create(request).unwrap();
        let start = || world.engine.start(&second.id, &engine::StartOptions::default());
        let started = start().unwrap();
        drop(started);
        world.engine.wait(&second.id).unwrap();
        world.engine.after_exit(&second.id).unwrap();
        // As if its init had been another process under the same id.
        let path = world.engine.paths().record_dir(&first.id).join("container.json");
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let start_time = record["lifecycle"]["start_time"].as_u64().unwrap();
        record["lifecycle"]["start_time"] = (start_time - 1).into();
        std::fs::write(&path, record.to_string()).unwrap();
        let refused = start().unwrap_err();
        assert!(matches!(refused, engine::Error::NotRunning { .. }), "{refused:?}");
    });
}
