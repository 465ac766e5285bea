//! Statuses as data.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Place, patch, status};
use crate::model::{
    Cause, Container, Ending, Health, Life, Limits, Memory, Observed, Sandbox, StartFailure, Volumes,
};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[allow(clippy::needless_pass_by_value)]
fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3}, "spec": spec})
}

fn container(name: &str, life: Life, exit_code: i32) -> Container {
    let at = now().as_nanosecond() as i64;
    Container {
        id: format!("{name}-id"),
        name: name.to_owned(),
        sandbox: "box".to_owned(),
        life,
        started_at: at - 5_000_000_000,
        finished_at: if life == Life::Exited { at } else { 0 },
        exit_code,
        ..Container::default()
    }
}

fn of(pod: &Value, containers: &[Container], memory: &Memory, ending: Option<&Ending>) -> Value {
    let addresses = vec!["10.42.0.2".to_owned()];
    let sandboxes = [Sandbox { id: "box".to_owned(), is_ready: true, addresses, ..Sandbox::default() }];
    let place =
        Place { host_addresses: vec!["10.0.0.1".to_owned()], runtime: "rt".to_owned(), resize_pending: None };
    status(pod, Observed { sandboxes: &sandboxes, containers, memory }, ending, &place, now())
}

fn ready() -> Memory {
    Memory { volumes: Volumes::Ready, ..Memory::default() }
}

/// `type=status:reason` of the conditions, and of the containers their states.
fn short(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut words = vec![text(&status["phase"])];
    for list in ["initContainerStatuses", "containerStatuses"] {
        for one in status[list].as_array().into_iter().flatten() {
            let (state, detail) = one["state"].as_object().unwrap().iter().next().unwrap();
            let mark = if one["ready"] == true { "+" } else { "" };
            let reason = detail["reason"].as_str().unwrap_or(state);
            words.push(format!("{}:{reason}{mark}", text(&one["name"])));
        }
    }
    for condition in status["conditions"].as_array().unwrap() {
        if condition["status"] == "False" {
            words.push(format!("!{}/{}", text(&condition["type"]), text(&condition["reason"])));
        }
    }
    words.join(" ")
}

#[test]
fn phases_and_conditions() {
    let one = |policy: &str| pod(json!({"restartPolicy": policy, "containers": [{"name": "a"}]}));
    let run = [container("a", Life::Running, 0)];
    let check = |pod: &Value, seen: &[Container], expected: &str| {
        assert_eq!(short(&of(pod, seen, &ready(), None)), expected);
    };
    let waits = "!Ready/ContainersNotReady !ContainersReady/ContainersNotReady";
    check(&one("Always"), &[], &format!("Pending a:ContainerCreating {waits}"));
    check(&one("Always"), &run, "Running a:running+");
    let ended = |code| [container("a", Life::Exited, code)];
    check(&one("Always"), &ended(1), &format!("Running a:Error {waits}"));
    let done = |why: &str| format!("!PodReadyToStartContainers/ !Ready/{why} !ContainersReady/{why}");
    check(&one("Never"), &ended(1), &format!("Failed a:Error {}", done("PodFailed")));
    check(&one("Never"), &ended(0), &format!("Succeeded a:Completed {}", done("PodCompleted")));
    check(&one("OnFailure"), &ended(0), &format!("Succeeded a:Completed {}", done("PodCompleted")));
    check(&one("OnFailure"), &ended(1), &format!("Running a:Error {waits}"));
    let init = pod(
        json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}),
    );
    let begins = "!Initialized/ContainersNotInitialized";
    check(&init, &[], &format!("Pending i:PodInitializing a:PodInitializing {begins} {waits}"));
    let first = [container("i", Life::Running, 0)];
    check(&init, &first, &format!("Pending i:running a:PodInitializing {begins} {waits}"));
    let failed = [container("i", Life::Exited, 2)];
    let over = done("PodFailed").replacen(' ', &format!(" {begins} "), 1);
    check(&init, &failed, &format!("Failed i:Error a:PodInitializing {over}"));
    let both = [container("a", Life::Running, 0), container("i", Life::Exited, 0)];
    check(&init, &both, "Running i:Completed+ a:running+");
}

#[test]
fn a_status_in_full() {
    let mut pod = pod(json!({"containers": [{"name": "a", "image": "nginx", "readinessProbe": {},
        "resources": {"requests": {"cpu": "1"}}}], "readinessGates": [{"conditionType": "x/y"}]}));
    let found = Container { attempt: 4, image_id: "sha256:1".to_owned(), ..container("a", Life::Running, 0) };
    let before = Container {
        attempt: 3,
        reason: "OOMKilled".to_owned(),
        message: "bye".to_owned(),
        ..container("a", Life::Exited, 137)
    };
    let seen = [found, before];
    let status = of(&pod, &seen, &ready(), None);
    let one = &status["containerStatuses"][0];
    assert_eq!(
        (&one["restartCount"], &one["containerID"], &one["ready"]),
        (&json!(4), &json!("rt://a-id"), &json!(false))
    );
    let last = &one["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["message"], &last["exitCode"]),
        (&json!("OOMKilled"), &json!("bye"), &json!(137))
    );
    assert_eq!((&one["allocatedResources"]["cpu"], &status["qosClass"]), (&json!("1"), &json!("Burstable")));
    assert_eq!((&status["podIPs"], &status["hostIP"]), (&json!([{"ip": "10.42.0.2"}]), &json!("10.0.0.1")));
    let well = Health { ready: Some(true), ..Health::default() };
    let memory = Memory { health: [("a-id".to_owned(), well)].into(), ..ready() };
    let status = of(&pod, &seen, &memory, None);
    let ready =
        status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap().clone();
    assert_eq!(ready["reason"], "ReadinessGatesNotReady");
    assert_eq!(ready["message"], "corresponding condition of pod readiness gate \"x/y\" does not exist.");
    assert_eq!(ready["observedGeneration"], 3);
    pod["status"] = json!({"conditions": [{"type": "x/y", "status": "True"}]});
    let status = of(&pod, &seen, &memory, None);
    let of_kind =
        |kind: &str| status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == kind).cloned();
    assert_eq!(of_kind("Ready").unwrap()["status"], "True");
    assert_eq!(of_kind("x/y").unwrap()["status"], "True");
}

#[test]
fn what_waits_says_why() {
    let pod = pod(json!({"containers": [{"name": "a", "image": "nginx"}]}));
    let failure = |reason: &str, ago: i64| StartFailure {
        reason: reason.to_owned(),
        message: "no".to_owned(),
        at: Timestamp::from_second(now().as_second() - ago).unwrap(),
        times: 1,
    };
    let waiting = |reason: &str, ago: i64| {
        let memory = Memory { failures: [("a".to_owned(), failure(reason, ago))].into(), ..ready() };
        let status = of(&pod, &[], &memory, None);
        let waiting = status["containerStatuses"][0]["state"]["waiting"].clone();
        (waiting["reason"].as_str().unwrap().to_owned(), waiting["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(waiting("ErrImagePull", 0), ("ErrImagePull".to_owned(), "no".to_owned()));
    let later = "Back-off pulling image \"nginx\": ErrImagePull: no";
    assert_eq!(waiting("ErrImagePull", 9), ("ImagePullBackOff".to_owned(), later.to_owned()));
    assert_eq!(waiting("CreateContainerConfigError", 9).0, "CreateContainerConfigError");
}

#[test]
fn nothing_is_over_while_it_runs() {
    let pod = pod(json!({"restartPolicy": "Always", "containers": [{"name": "a"}]}));
    let disruption = Some("TerminationByKubelet".to_owned());
    let cause = Cause::Failed { reason: "Evicted".to_owned(), message: "low".to_owned(), disruption };
    let ending = Ending { since: now(), grace: 1, cause };
    let running = of(&pod, &[container("a", Life::Running, 0)], &ready(), Some(&ending));
    assert_eq!((&running["phase"], running.get("reason")), (&json!("Pending"), None));
    assert_eq!(running["conditions"][0]["type"], "DisruptionTarget");
    let ended = of(&pod, &[container("a", Life::Exited, 137)], &ready(), Some(&ending));
    assert_eq!(
        (&ended["phase"], &ended["reason"], &ended["message"]),
        (&json!("Failed"), &json!("Evicted"), &json!("low"))
    );
    let deleted = Ending { cause: Cause::Deleted, ..ending };
    for (code, phase) in [(0, "Succeeded"), (143, "Failed")] {
        assert_eq!(of(&pod, &[container("a", Life::Exited, code)], &ready(), Some(&deleted))["phase"], phase);
    }
}

#[test]
fn writes_what_changed_and_nothing_of_others() {
    let mut pod = pod(json!({"containers": [{"name": "a"}]}));
    let seen = [container("a", Life::Running, 0)];
    let first = of(&pod, &seen, &ready(), None);
    assert_eq!(patch(&pod, &first).unwrap()["metadata"]["uid"], "u");
    pod["status"] = first;
    let mut foreign = json!({"type": "x/y", "status": "True"});
    pod["status"]["conditions"].as_array_mut().unwrap().insert(0, foreign.take());
    assert_eq!(patch(&pod, &of(&pod, &seen, &ready(), None)), None);
    let ended = of(&pod, &[container("a", Life::Exited, 1)], &ready(), None);
    let change = patch(&pod, &ended).unwrap();
    let names: Vec<&String> = change["status"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["conditions", "containerStatuses"]);
    let kinds: Vec<&Value> =
        change["status"]["conditions"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, ["Ready", "ContainersReady"]);
}

#[test]
fn last_words_outlive_their_file() {
    let mut pod = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    let said = |message: &str| {
        let message = message.to_owned();
        [Container { message, ..container("a", Life::Exited, 0) }]
    };
    let first = of(&pod, &said("bye"), &ready(), None);
    let words = |status: &Value| status["containerStatuses"][0]["state"]["terminated"]["message"].clone();
    assert_eq!(words(&first), "bye");
    pod["status"] = first;
    assert_eq!(words(&of(&pod, &said(""), &ready(), None)), "bye");
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["containerID"] = json!("rt://other");
    assert_eq!(words(&of(&pod, &said(""), &ready(), None)), Value::Null);
}

#[test]
fn a_resize_is_shown_until_it_is_done() {
    let resources = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    let mut pod = pod(json!({"containers": [{"name": "a", "resources": resources("100m")}]}));
    let limits = |cpu_shares, cpu_quota| Limits { cpu_shares, cpu_quota, ..Limits::default() };
    let runs = [Container { resources: Some(limits(102, 10_000)), ..container("a", Life::Running, 0) }];
    let shown = |status: &Value| {
        let progress = status["conditions"].as_array().unwrap().iter();
        let progress =
            progress.filter(|it| it["type"] == "PodResizeInProgress").map(|it| it["reason"].clone());
        (status["containerStatuses"][0]["resources"].clone(), progress.collect::<Vec<_>>())
    };
    let mut memory = ready();
    pod["status"] = of(&pod, &runs, &memory, None);
    assert_eq!(shown(&pod["status"]), (resources("100m"), vec![]));
    pod["spec"]["containers"][0]["resources"] = resources("200m");
    assert_eq!(shown(&of(&pod, &runs, &memory, None)), (resources("100m"), vec![Value::Null]));
    memory.resize_failure = Some("no".to_owned());
    assert_eq!(shown(&of(&pod, &runs, &memory, None)).1, vec![json!("Error")]);
    memory.resized.insert("a-id".to_owned(), limits(204, 20_000));
    assert_eq!(shown(&of(&pod, &runs, &memory, None)), (resources("200m"), vec![]));
}
