//! `strake events`.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use testkit::{Strake, isolated, run};

use crate::sleeper;

/// All events so far, as JSON, that fit the filters.
fn past(strake: &Strake, filters: &[&str]) -> Vec<Value> {
    let mut args = vec!["events", "--since", "1h", "--until", "0s", "--format", "json"];
    args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
    strake.ok(&args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["Action"].as_str().unwrap()).collect()
}

#[test]
fn a_containers_life_is_told_in_order() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none", "-l", "tier=front"]);
        strake.ok(&["exec", "web", "true"]);
        strake.ok(&["pause", "web"]);
        strake.ok(&["unpause", "web"]);
        strake.ok(&["rename", "web", "www"]);
        strake.ok(&["restart", "-t", "0", "www"]);
        strake.ok(&["kill", "www"]);
        strake.ok(&["rm", "www"]);
        let events = past(&strake, &["type=container"]);
        assert_eq!(
            actions(&events),
            [
                "create",
                "start",
                "exec_create: true",
                "exec_start: true",
                "exec_die",
                "pause",
                "unpause",
                "rename",
                "kill",
                "die",
                "stop",
                "start",
                "restart",
                "kill",
                "die",
                "destroy"
            ]
        );
        let [create, .., killed, _] = &events[..] else { panic!("{events:?}") };
        let attributes = &create["Actor"]["Attributes"];
        assert_eq!(attributes["name"], "web");
        assert_eq!(attributes["image"], "busybox");
        assert_eq!(attributes["tier"], "front");
        assert_eq!((create["id"].as_str().unwrap().len(), &create["from"]), (64, &"busybox".into()));
        assert_eq!(killed["Actor"]["Attributes"]["exitCode"], "137");
        assert_eq!(events[7]["Actor"]["Attributes"]["oldName"], "/web");
        assert_eq!(events[4]["Actor"]["Attributes"]["exitCode"], "0");
        let times: Vec<i64> = events.iter().map(|event| event["timeNano"].as_i64().unwrap()).collect();
        assert!(times.is_sorted());
    });
}

#[test]
fn filters_and_formats_are_dockers() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for name in ["one", "two"] {
            strake.ok(&["run", "--name", name, "-l", name, "--network", "none", "busybox", "true"]);
        }
        strake.ok(&["volume", "create", "data"]);
        strake.ok(&["volume", "rm", "data"]);
        strake.ok(&["tag", "busybox", "other:1"]);
        strake.ok(&["rmi", "other:1"]);
        let count = |filters: &[&str]| past(&strake, filters).len();
        assert_eq!(actions(&past(&strake, &["type=volume"])), ["create", "destroy"]);
        assert_eq!(actions(&past(&strake, &["type=image"])), ["import", "tag", "untag"]);
        assert_eq!(count(&["event=die"]), 2);
        assert_eq!(count(&["event=die", "container=two"]), 1);
        assert_eq!(count(&["event=die", "container=one", "container=two"]), 2);
        assert_eq!(count(&["event=start", "label=one"]), 1);
        assert_eq!(count(&["event=start", "image=busybox"]), 2);
        assert_eq!(count(&["event=start", "image=other"]), 0);
        assert_eq!(actions(&past(&strake, &["volume=data"])), ["create", "destroy"]);
        let line = strake.ok(&[
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "-f",
            "event=create",
            "-f",
            "volume=data",
        ]);
        assert!(line.ends_with(" volume create data (driver=local)"), "{line}");
        let told = ["events", "--since", "1h", "--until", "0s", "-f", "event=die", "--format"];
        let said = strake.ok(&[&told[..], &["{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"]].concat());
        assert_eq!(said, "container die one\ncontainer die two");
        strake.run(&["events", "--filter", "frob=1", "--until", "0s"]).exits(1).says("invalid filter");
        strake.run(&["events", "--since", "soon"]).exits(1).says("soon");
    });
}

#[test]
fn who_follows_hears_of_each_event_as_it_happens() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--name", "before", "--network", "none", "busybox", "true"]);
        let mut following =
            strake.background(&["events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"]);
        // It has begun to watch when it has its watch.
        let fds = format!("/proc/{}/fd", following.pid());
        testkit::wait_for("its watch", || {
            let links = std::fs::read_dir(&fds).ok()?;
            let links = links.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
            links.into_iter().find(|link| link.to_string_lossy().contains("inotify"))
        });
        let mut lines = BufReader::new(following.child_mut().stdout.take().unwrap()).lines();
        let ended = strake.run(&["run", "--rm", "--name", "now", "--network", "none", "busybox", "false"]);
        ended.exits(1);
        let heard: Vec<String> = lines.by_ref().take(5).map(|line| line.unwrap()).collect();
        assert_eq!(heard, ["create now", "attach now", "start now", "die now", "destroy now"]);
        // One whose command line is killed is cleaned up, and told of, by its shim.
        sleeper(&strake, "quick", &["--rm", "--network", "none"]);
        strake.ok(&["kill", "quick"]);
        let heard: Vec<String> = lines.by_ref().take(5).map(|line| line.unwrap()).collect();
        assert_eq!(heard, ["create quick", "start quick", "kill quick", "die quick", "destroy quick"]);
    });
}

/// Told by the container's supervisor, which has to know neither name nor labels for it.
#[test]
fn changes_of_health_and_ends_of_execs_are_told_with_nobody_there() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let check = ["--health-cmd", "cat /well", "--health-interval", "100ms", "--health-retries", "1"];
        let run = ["run", "-d", "--name", "app", "--network", "none", "-l", "tier=front"];
        let script = ["busybox", "sh", "-c", "echo > /well; exec sleep 3600"];
        strake.ok(&[&run[..], &check[..], &script[..]].concat());
        let told = |action: &str| {
            testkit::wait_for(action, || {
                let found = past(&strake, &["type=container"]);
                found.into_iter().find(|event| event["Action"] == action)
            })
        };
        let healthy = told("health_status: healthy");
        let attributes = &healthy["Actor"]["Attributes"];
        assert_eq!((&attributes["name"], &attributes["tier"]), (&"app".into(), &"front".into()), "{healthy}");
        assert_eq!(attributes["image"], "busybox");
        // By its name of now.
        strake.ok(&["rename", "app", "renamed"]);
        strake.ok(&["exec", "renamed", "rm", "/well"]);
        let unhealthy = told("health_status: unhealthy");
        assert_eq!(unhealthy["Actor"]["Attributes"]["name"], "renamed");
        assert_eq!(told("exec_die")["Actor"]["Attributes"]["exitCode"], "0");
        // Nobody waits for this one.
        strake.ok(&["exec", "-d", "renamed", "sh", "-c", "exit 7"]);
        let died = testkit::wait_for("its end", || {
            let found = past(&strake, &["event=exec_die"]);
            found.into_iter().find(|event| event["Actor"]["Attributes"]["exitCode"] == "7")
        });
        let created = told("exec_create: sh -c exit 7");
        let id = |event: &Value| event["Actor"]["Attributes"]["execID"].clone();
        assert!(id(&died).as_str().is_some_and(|id| id.len() == 64), "{died}");
        assert_eq!(id(&died), id(&created));
        // Each change is told once.
        let changes = past(&strake, &["type=container"]);
        let changes =
            changes.iter().filter(|event| event["Action"].as_str().unwrap().starts_with("health_status"));
        assert_eq!(changes.count(), 2);
    });
}

/// What a process left that was killed while it wrote costs no other event.
#[test]
fn half_an_event_costs_no_other() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["volume", "create", "first"]);
        let journal = strake.root().join("events/events.jsonl");
        let mut bytes = std::fs::read(&journal).unwrap();
        bytes.extend_from_slice(b"{\"Type\":\"volume\",\"Act");
        std::fs::write(&journal, bytes).unwrap();
        strake.ok(&["volume", "create", "second"]);
        let told = past(&strake, &["type=volume"]);
        let ids: Vec<_> = told.iter().map(|event| event["Actor"]["ID"].as_str().unwrap()).collect();
        assert_eq!(ids, ["first", "second"]);
    });
}

/// A disk that takes no event stops nothing.
#[test]
fn without_a_place_for_events_containers_run_all_the_same() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        std::fs::remove_dir_all(strake.root().join("events")).unwrap();
        std::fs::write(strake.root().join("events"), "in the way").unwrap();
        let said =
            run(&mut strake.command(&["run", "--rm", "--network", "none", "busybox", "echo", "there"]));
        assert_eq!(said.ok(), "there");
    });
}
