//! A container's life: made, run, stopped, run again, removed.

use std::time::Duration;

use base::{Classified, ErrorClass};
use engine::request::{Signal, UserMode};
use engine::{InspectOptions, Lifecycle, RemoveOptions, StartOptions};
use testkit::{isolated, wait_until};

use crate::world::World;

#[test]
fn runs_and_tells_how_it_ended() {
    isolated(|| {
        let world = World::new();
        let (code, output) = world.run(world.request("echo out; echo err >&2; echo $$; exit 3"));
        assert_eq!(code, Some(3));
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["1", "err", "out"]);
    });
}

#[test]
fn a_stopped_container_starts_again_and_keeps_its_files() {
    isolated(|| {
        let world = World::new();
        let script = "trap 'exit 5' TERM; echo x >> /file; wc -l < /file; sleep 1000 & wait";
        let record = world.start(world.request(script));
        wait_until(Duration::from_secs(10), || world.log(&record).contains('1'));
        world.engine.stop(&record.id, None, None).unwrap();
        let stopped = world.engine.look(&record.id).unwrap();
        let Lifecycle::Exited { exit } = &stopped.lifecycle else { panic!("{:?}", stopped.lifecycle) };
        assert_eq!(exit.code, Some(5));
        let again = world.engine.start(&record.id, &StartOptions::default()).unwrap();
        assert!(again.record.lifecycle.is_running());
        wait_until(Duration::from_secs(10), || world.log(&record).contains('2'));
    });
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    isolated(|| {
        let world = World::new();
        let record = world.start(world.request("sleep 1000"));
        let refused = world.engine.remove(&record.id, RemoveOptions::default()).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Conflict);
        world.engine.remove(&record.id, RemoveOptions { force: true, volumes: false }).unwrap();
        assert!(world.engine.list().unwrap().is_empty());
        assert!(world.engine.look(&record.id).unwrap_err().is_not_found());
    });
}

#[test]
fn names_are_owned() {
    isolated(|| {
        let world = World::new();
        let named = |name: &str| {
            let mut request = world.request("true");
            request.name = Some(name.to_owned());
            world.create(request)
        };
        let first = named("web").unwrap();
        let error = named("web").unwrap_err();
        assert_eq!(error.class(), ErrorClass::AlreadyExists);
        assert!(error.to_string().contains(first.id.short()), "{error}");
        world.engine.rename(&first.id, "old").unwrap();
        named("web").unwrap();
        assert_eq!(world.engine.find("old").unwrap().id, first.id);
        assert_eq!(world.engine.find(&first.id.as_str()[..20]).unwrap().id, first.id);
    });
}

#[test]
fn a_program_that_is_not_there_leaves_a_container_that_says_so() {
    isolated(|| {
        let world = World::new();
        let mut request = world.request("");
        request.process.command = vec!["/nope".to_owned()];
        let record = world.create(request).unwrap();
        let error = world.engine.start(&record.id, &StartOptions::default()).unwrap_err();
        assert_eq!(error.run_status(), 127, "{error}");
        let record = world.engine.look(&record.id).unwrap();
        let value = world.engine.inspect(&record, InspectOptions::default()).unwrap();
        assert_eq!(value["State"]["Status"], "created");
        assert_eq!(value["State"]["ExitCode"], 127);
        assert!(!world.engine.paths().state_dir(&record.id).exists());
    });
}

#[test]
fn pauses_kills_and_executes() {
    isolated(|| {
        let world = World::new();
        let record = world.start(world.request("sleep 1000"));
        assert_eq!(world.exec(&record, "echo $0 in; id -u; exit 4"), (4, "sh in\n0\n".to_owned()));
        world.engine.pause(&record.id).unwrap();
        assert_eq!(world.engine.look(&record.id).unwrap().lifecycle.docker_status(), "paused");
        assert!(world.engine.pause(&record.id).is_err());
        world.engine.unpause(&record.id).unwrap();
        world.engine.kill(&record.id, Signal::KILL).unwrap();
        assert_eq!(world.engine.wait(&record.id).unwrap().unwrap().code, Some(137));
    });
}

#[test]
fn ns_05_root_inside_is_nobody_outside() {
    isolated(|| {
        let world = World::new();
        let mut request = world.request("echo x > /mine; cat /proc/self/uid_map; pwd; sleep 1000");
        request.namespaces.user = UserMode::Private { base: 200_000, size: 65536 };
        request.process.workdir = Some("/new/dir".to_owned());
        let record = world.start(request);
        let (code, owner) = world.exec(&record, "stat -c %u /mine /new/dir");
        assert_eq!((code, owner.as_str()), (0, "0\n0\n"));
        let upper = world.engine.snapshots().unwrap().snapshot(&record.id).unwrap().upper.unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(upper.join("mine")).unwrap().uid(), 200_000);
    });
}
