//! Plans as data: a pod, what is seen of it, and what is to be done.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, plan};
use crate::model::{
    Backoff, Cause, Container, Ending, Health, Job, Life, Memory, Observed, Retry, Sandbox, StartFailure,
    Volumes,
};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

#[allow(clippy::needless_pass_by_value)]
fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})
}

/// A pod with containers of these names; `s:` is a sidecar, `i:` an init container.
fn of(names: &str, policy: &str) -> Value {
    let (mut init, mut main) = (Vec::new(), Vec::new());
    for name in names.split(' ') {
        match name.split_once(':') {
            Some(("s", name)) => init.push(json!({"name": name, "restartPolicy": "Always"})),
            Some((_, name)) => init.push(json!({"name": name})),
            None => main.push(json!({"name": name})),
        }
    }
    pod(
        json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 30, "initContainers": init, "containers": main}),
    )
}

/// `name` runs; `name=3` ended with 3 a minute ago; `name?` is unknown, `name+` created.
/// Further back is older.
fn containers(text: &str) -> Vec<Container> {
    let mut seen = Vec::new();
    let total = text.split(' ').count();
    for (index, word) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let (name, life, exit_code) = match word.split_once('=') {
            Some((name, code)) => (name, Life::Exited, code.parse().unwrap()),
            None if word.ends_with('?') => (word.trim_end_matches('?'), Life::Unknown, 0),
            None if word.ends_with('+') => (word.trim_end_matches('+'), Life::Created, 0),
            None => (word, Life::Running, 0),
        };
        let older =
            text.split(' ').skip(index + 1).filter(|it| it.split(['=', '?', '+']).next() == Some(name));
        let attempt = older.count() as u32;
        seen.push(Container {
            id: format!("{name}{attempt}"),
            name: name.to_owned(),
            attempt,
            sandbox: "box".to_owned(),
            life,
            created_at: (NOW - 100 + (total - index) as i64) * 1_000_000_000,
            finished_at: if life == Life::Exited { (NOW - 60) * 1_000_000_000 } else { 0 },
            exit_code,
            ..Container::default()
        });
    }
    seen
}

fn sandbox() -> Vec<Sandbox> {
    vec![Sandbox {
        id: "box".to_owned(),
        is_ready: true,
        addresses: vec!["10.42.0.2".to_owned()],
        ..Sandbox::default()
    }]
}

fn ready() -> Memory {
    Memory { volumes: Volumes::Ready, ..Memory::default() }
}

fn words(actions: &[Action]) -> String {
    let word = |action: &Action| match action {
        Action::MakeVolumes => "volumes".to_owned(),
        Action::RunSandbox { attempt, replaces } => {
            format!("sandbox/{attempt}{}", replaces.as_ref().map(|id| format!("-{id}")).unwrap_or_default())
        }
        Action::StopSandbox { id } => format!("stop/{id}"),
        Action::Start { name, attempt, .. } => format!("start/{name}/{attempt}"),
        Action::TellBackoff { name, .. } => format!("wait/{name}"),
        Action::Kill { id, grace, .. } => format!("kill/{id}/{grace}"),
        Action::Remove { id } => format!("rm/{id}"),
        Action::Resize { names } => format!("resize/{}", names.join("+")),
        Action::Drain { most } => format!("drain/{most}"),
        Action::Cleanup => "cleanup".to_owned(),
        Action::Purge => "purge".to_owned(),
    };
    actions.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn look(pod: &Value, sandboxes: &[Sandbox], seen: &str, memory: &Memory) -> super::Plan {
    let containers = containers(seen);
    plan(pod, Observed { sandboxes, containers: &containers, memory }, at(0))
}

fn check(pod: &Value, seen: &str, memory: &Memory, expected: &str) {
    let found = look(pod, &sandbox(), seen, memory);
    assert_eq!(words(&found.actions), expected, "{seen}: {:?}", found.why);
}

#[test]
fn begins_with_volumes_and_a_sandbox() {
    let pod = of("a", "Always");
    let go = |sandboxes: &[Sandbox], memory: &Memory| words(&look(&pod, sandboxes, "", memory).actions);
    assert_eq!(go(&[], &Memory::default()), "volumes");
    assert_eq!(go(&[], &ready()), "sandbox/0");
    assert_eq!(go(&sandbox(), &ready()), "start/a/0");
    let mut dead = sandbox();
    dead[0].is_ready = false;
    assert_eq!(go(&dead, &ready()), "sandbox/1-box");
    let mut homeless = sandbox();
    homeless[0].addresses.clear();
    assert_eq!(go(&homeless, &ready()), "", "the runtime may have no network yet");
    let mut busy = ready();
    busy.jobs.insert(Job::Sandbox);
    assert_eq!(go(&[], &busy), "");
    let failed = Retry { message: "no network".to_owned(), at: at(0), times: 1 };
    let waits = look(&pod, &[], "", &Memory { sandbox_failure: Some(failed), ..ready() });
    assert_eq!((words(&waits.actions), waits.look_again_after.unwrap().as_secs()), (String::new(), 1));
}

#[test]
fn starts_one_after_the_other() {
    let pod = of("a b", "Always");
    check(&pod, "", &ready(), "start/a/0");
    let mut starting = ready();
    starting.jobs.insert(Job::Start("a".to_owned()));
    check(&pod, "", &starting, "");
    check(&pod, "a", &ready(), "start/b/0");
    check(&pod, "a b", &ready(), "");
}

#[test]
fn restarts_by_policy() {
    check(&of("a", "Always"), "a=0", &ready(), "start/a/1");
    check(&of("a", "OnFailure"), "a=1", &ready(), "start/a/1");
    check(&of("a b", "OnFailure"), "a=0 b", &ready(), "");
    check(&of("a b", "Never"), "a=1 b", &ready(), "");
    // Nothing is left to run: the pod ends.
    check(&of("a", "Never"), "a=1", &ready(), "stop/box");
    check(&of("a", "OnFailure"), "a=0", &ready(), "stop/box");
    check(&of("a", "Always"), "a?", &ready(), "kill/a0/30");
    check(&of("a", "Always"), "a+", &ready(), "rm/a0");
    let rules = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}));
    check(&rules, "a=42", &ready(), "start/a/1");
    check(&rules, "a=1", &ready(), "stop/box");
}

#[test]
fn keeps_two_of_a_name() {
    check(&of("a", "Always"), "a a=1 a=1 a=1", &ready(), "rm/a1 rm/a0");
}

#[test]
fn crashes_wait() {
    let pod = of("a", "Always");
    let seen = |seconds: i64, before: i64| {
        let backoff = Backoff { seconds: before, at: at(-70) };
        let memory = Memory { backoffs: [("a".to_owned(), backoff)].into(), ..ready() };
        let mut containers = containers("a=1");
        containers[0].finished_at = (NOW - seconds) * 1_000_000_000;
        let found =
            plan(&pod, Observed { sandboxes: &sandbox(), containers: &containers, memory: &memory }, at(0));
        let next = found.actions.iter().find_map(|action| match action {
            Action::Start { backoff, .. } => backoff.map(|backoff| backoff.seconds),
            _ => None,
        });
        (words(&found.actions), found.look_again_after.map(|after| after.as_secs()), next)
    };
    assert_eq!(seen(4, 10), ("wait/a".to_owned(), Some(6), None));
    assert_eq!(seen(11, 10), ("start/a/1".to_owned(), None, Some(20)));
    assert_eq!(seen(60, 300), ("wait/a".to_owned(), Some(240), None));
    assert_eq!(seen(301, 300), ("start/a/1".to_owned(), None, Some(300)));
    let memory =
        Memory { backoffs: [("a".to_owned(), Backoff { seconds: 300, at: at(-2000) })].into(), ..ready() };
    check(&pod, "a=1", &memory, "start/a/1");
}

#[test]
fn failed_starts_wait() {
    let pod = of("a b", "Always");
    let failure = |times| StartFailure {
        reason: "ErrImagePull".to_owned(),
        message: "no".to_owned(),
        at: at(-15),
        times,
    };
    let memory = |times| Memory { failures: [("a".to_owned(), failure(times))].into(), ..ready() };
    check(&pod, "", &memory(1), "start/a/0");
    // The others need not wait.
    check(&pod, "", &memory(2), "start/b/0");
    assert_eq!(look(&pod, &sandbox(), "b", &memory(2)).look_again_after.unwrap().as_secs(), 5);
}

#[test]
fn init_containers_in_order() {
    let pod = of("i:x i:y a", "Always");
    check(&pod, "", &ready(), "start/x/0");
    check(&pod, "x", &ready(), "");
    check(&pod, "x=0", &ready(), "start/y/0");
    check(&pod, "y=1 x=0", &ready(), "start/y/1");
    check(&pod, "y=0 x=0", &ready(), "start/a/0");
    // They had their turn in this sandbox.
    check(&pod, "a=1", &ready(), "start/a/1");
    check(&of("i:x a", "Never"), "x=1", &ready(), "stop/box");
}

#[test]
fn sidecars_stay() {
    let mut pod = of("s:x i:y a", "Never");
    check(&pod, "", &ready(), "start/x/0");
    check(&pod, "x", &ready(), "start/y/0");
    check(&pod, "x=1", &ready(), "start/x/1");
    check(&pod, "y=0 x", &ready(), "start/a/0");
    check(&pod, "a y=0 x=1", &ready(), "start/x/1");
    pod["spec"]["initContainers"][0]["startupProbe"] = json!({});
    check(&pod, "x", &ready(), "");
    let started = Health { started: Some(true), ..Health::default() };
    check(&pod, "x", &Memory { health: [("x0".to_owned(), started)].into(), ..ready() }, "start/y/0");
    // The main container has ended for good: sidecars go too.
    check(&pod, "a=0 y=0 x", &ready(), "kill/x0/30");
}

#[test]
fn ill_containers_are_stopped() {
    let mut pod = of("a", "Always");
    pod["spec"]["containers"][0]["livenessProbe"] = json!({"terminationGracePeriodSeconds": 5});
    let ill = Health { alive: Some(false), ..Health::default() };
    let memory = Memory { health: [("a0".to_owned(), ill)].into(), ..ready() };
    check(&pod, "a", &memory, "kill/a0/5");
    let found = look(&pod, &sandbox(), "a", &memory);
    let [Action::Kill { message, .. }] = found.actions.as_slice() else { panic!("{found:?}") };
    assert_eq!(message, "Container a failed liveness probe, will be restarted");
}

#[test]
fn what_made_place_is_started_again_whatever_the_policy() {
    let pod = of("a b", "Never");
    let memory = Memory { replaced: ["a0".to_owned()].into(), ..ready() };
    check(&pod, "a=143 b", &ready(), "");
    check(&pod, "a=143 b", &memory, "start/a/1");
    check(&pod, "a=143 b=0", &memory, "start/a/1");
    let found = look(&pod, &sandbox(), "a=143 b=0", &ready());
    assert!(found.ending.is_some(), "{found:?}");
}

#[test]
fn ephemeral_containers_start_at_any_time() {
    let mut pod = of("i:x a", "Always");
    pod["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    check(&pod, "x", &ready(), "start/debug/0");
    check(&pod, "debug=0 x", &ready(), "");
}

fn ending(cause: Cause, grace: i64, ago: i64) -> Memory {
    Memory { ending: Some(Ending { since: at(-ago), grace, cause }), is_drained: true, ..ready() }
}

#[test]
fn deletion_leads_traffic_away_first() {
    let mut pod = of("a", "Always");
    pod["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(20);
    check(&pod, "a", &ready(), "drain/10");
    check(&pod, "a", &Memory { is_drained: true, ..ready() }, "kill/a0/20");
    check(&pod, "a", &ending(Cause::Deleted, 20, 5), "kill/a0/15");
    check(&pod, "a", &ending(Cause::Deleted, 20, 50), "kill/a0/2");
    check(&pod, "a=0", &ending(Cause::Deleted, 20, 5), "stop/box");
    let stopped = [Sandbox { is_ready: false, ..sandbox().remove(0) }];
    let mut memory = ending(Cause::Deleted, 20, 5);
    assert_eq!(words(&look(&pod, &stopped, "a=0", &memory).actions), "cleanup");
    memory.is_clean = true;
    assert_eq!(words(&look(&pod, &stopped, "a=0", &memory).actions), "purge");
    // Forced: one second, and no waiting.
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    check(&pod, "a", &ready(), "kill/a0/1");
}

#[test]
fn sidecars_end_last_and_backwards() {
    let pod = of("s:x s:y a b", "Always");
    check(&pod, "b a y x", &ending(Cause::Deleted, 30, 0), "kill/b0/30 kill/a0/30");
    check(&pod, "b=0 a=0 y x", &ending(Cause::Deleted, 30, 10), "kill/y0/20");
    check(&pod, "b=0 a=0 y=0 x", &ending(Cause::Deleted, 30, 10), "kill/x0/20");
    check(&pod, "b=0 a=0 y x", &ending(Cause::Deleted, 30, 31), "kill/y0/2 kill/x0/2");
}

#[test]
fn what_is_over_is_cleaned_but_not_purged() {
    let pod = of("a", "Never");
    let stopped = [Sandbox { is_ready: false, ..sandbox().remove(0) }];
    let mut memory = ready();
    assert_eq!(words(&look(&pod, &stopped, "a=0", &memory).actions), "cleanup");
    memory.is_clean = true;
    assert_eq!(words(&look(&pod, &stopped, "a=0", &memory).actions), "");
}

#[test]
fn the_deadline_ends_a_pod() {
    let mut pod = of("a", "Always");
    pod["spec"]["activeDeadlineSeconds"] = json!(100);
    pod["status"] = json!({"startTime": at(-90).to_string()});
    let found = look(&pod, &sandbox(), "a", &ready());
    assert_eq!((words(&found.actions), found.look_again_after.unwrap().as_secs()), (String::new(), 10));
    pod["status"] = json!({"startTime": at(-100).to_string()});
    let found = look(&pod, &sandbox(), "a", &ready());
    let Some(Ending { cause: Cause::Failed { reason, .. }, .. }) = found.ending else { panic!() };
    assert_eq!(reason, "DeadlineExceeded");
}

#[test]
fn what_the_runtime_forgot_the_api_knows() {
    let mut pod = of("a", "Always");
    pod["status"] = json!({"containerStatuses": [{"name": "a", "restartCount": 4, "containerID": "x://1",
        "state": {"running": {}}}]});
    check(&pod, "", &ready(), "start/a/5");
    let mut over = of("a b", "Never");
    over["status"] = json!({"containerStatuses": [{"name": "a", "containerID": "x://1",
        "state": {"terminated": {"exitCode": 0}}}]});
    check(&over, "b", &ready(), "");
}
