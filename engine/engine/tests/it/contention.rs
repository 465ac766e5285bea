//! Many hands on the same containers at once: nothing is lost, nothing is left, nobody is
//! told nonsense.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base::{Classified, ErrorClass};
use engine::container::Record;
use engine::request::NetworkMode;
use engine::{Engine, ImageSource, InspectOptions, Lifecycle, RemoveOptions, StartOptions};
use testkit::isolated;

use crate::world::{World, request};

const HANDS: u64 = 8;
const NAMES: u64 = 4;

/// A number from a seed; the same ones in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What may come of it when others are at the same container.
fn expected<T>(result: Result<T, engine::Error>) -> Result<Option<T>, engine::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.class(),
                ErrorClass::NotFound | ErrorClass::AlreadyExists | ErrorClass::Conflict
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn any(engine: &Engine, dice: &mut Dice) -> Result<Option<Record>, engine::Error> {
    let mut all = engine.list()?;
    if all.is_empty() {
        return Ok(None);
    }
    let at = dice.throw(all.len() as u64) as usize;
    Ok(Some(all.swap_remove(at).record))
}

/// One thing that a person does.
fn act(engine: &Engine, dice: &mut Dice) -> Result<(), engine::Error> {
    let force = RemoveOptions { force: true, volumes: true };
    let what = dice.throw(10);
    if what < 4 {
        let script = if dice.throw(2) == 0 { "true" } else { "sleep 1000" };
        let mut request = request(script);
        request.name = Some(format!("n{}", dice.throw(NAMES)));
        request.auto_remove = dice.throw(2) == 0;
        if dice.throw(2) == 0 {
            request.network.mode = NetworkMode::Bridge;
        }
        let image = engine.images()?.find("busybox", None)?;
        if let Some(record) = expected(engine.create(request, ImageSource::from(&image)))? {
            expected(engine.start(&record.id, &StartOptions::default()))?;
        }
        return Ok(());
    }
    if what == 4 {
        let done = engine.reconcile()?;
        assert!(done.problems.is_empty(), "{:?}", done.problems);
        return Ok(());
    }
    let Some(record) = any(engine, dice)? else { return Ok(()) };
    match what {
        5 | 6 => expected(engine.remove(&record.id, force)).map(drop),
        7 => expected(engine.stop(&record.id, None, Some(0))).map(drop),
        8 => expected(engine.start(&record.id, &StartOptions::default())).map(drop),
        _ => expected(
            engine.look(&record.id).and_then(|record| engine.inspect(&record, InspectOptions::default())),
        )
        .map(drop),
    }
}

/// No name stands for two containers, and none for one that has another.
fn check_names(engine: &Engine) {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for listed in engine.list().unwrap() {
        owners.entry(listed.record.name.clone()).or_default().push(listed.record.id.to_string());
    }
    for (name, ids) in owners {
        assert_eq!(ids.len(), 1, "{name} is the name of {ids:?}");
        assert_eq!(engine.find(&name).unwrap().id.as_str(), ids[0]);
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn many_hands_lose_and_leave_nothing() {
    isolated(|| {
        let world = World::new();
        let until = Instant::now() + Duration::from_secs(6);
        let faults = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for hand in 1..=HANDS {
                let (engine, faults) = (world.reopened(), &faults);
                scope.spawn(move || {
                    let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(hand));
                    while Instant::now() < until {
                        if let Err(error) = act(&engine, &mut dice) {
                            faults.lock().unwrap().push(format!("{error:?}"));
                        }
                    }
                });
            }
        });
        let faults = faults.into_inner().unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
        let engine = &world.engine;
        check_names(engine);
        for listed in engine.list().unwrap() {
            let record = engine.look(&listed.record.id).unwrap();
            assert!(!matches!(record.lifecycle, Lifecycle::Starting { .. }), "{record:?}");
            let status = engine.connect(&record).map(|mut client| client.status().unwrap().pid);
            assert_eq!(status.ok(), record.lifecycle.pid(), "{record:?}");
            engine.remove(&record.id, RemoveOptions { force: true, volumes: true }).unwrap();
        }
        let home = world.home.path();
        let paths = engine.paths();
        let settled = || {
            let empty = |dir: &Path| entries(dir).is_empty();
            empty(&home.join("root/containers"))
                && empty(&home.join("root/names"))
                && empty(&paths.state.join("containers"))
        };
        let left = || {
            [home.join("root/containers"), home.join("root/names"), paths.state.join("containers")]
                .map(|d| entries(&d))
        };
        assert!(testkit::wait_until(Duration::from_secs(10), settled), "{:?}", left());
        assert!(engine.snapshots().unwrap().snapshots().unwrap().is_empty());
        assert!(engine.networks().unwrap().attachments().unwrap().is_empty());
    });
}
