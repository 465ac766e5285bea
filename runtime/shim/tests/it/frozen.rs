//! What a released shim and a released client spoke, against those of today: an upgrade in place
//! takes over what runs, and a downgrade is told so.
//!
//! `fixtures/v1` holds a conversation and a state record of protocol 1. The conversation is kept
//! from both sides: today's client talks to a shim that is nothing but the recorded answers, and
//! today's shim is asked with the recorded requests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use base::ErrorClass;
use serde_json::Value;
use shim::{Client, ExecRequest, Phase, StreamSet};
use testkit::{TempDir, isolated};

use crate::rig::{ID, Rig, is_running, kill_shim};

/// Each recorded request with its answer.
fn conversation() -> Vec<(Value, String)> {
    let text = include_str!("../fixtures/v1/conversation.txt").replace("\"ID\"", &format!("\"{ID}\""));
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .chunks(2)
        .map(|pair| {
            let request = pair[0].strip_prefix("> ").unwrap();
            (serde_json::from_str(request).unwrap(), pair[1].strip_prefix("< ").unwrap().to_owned())
        })
        .collect()
}

fn send(stream: &mut UnixStream, text: &str) {
    let mut bytes = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    stream.write_all(&bytes).unwrap();
}

fn receive(stream: &mut UnixStream) -> Option<String> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut bytes).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

/// Whether `sent` says all that `recorded` says. What it says beside is what a shim of that time
/// passes over.
fn says(sent: &Value, recorded: &Value) -> bool {
    match (sent, recorded) {
        (Value::Object(sent), Value::Object(recorded)) => {
            recorded.iter().all(|(key, value)| sent.get(key).is_some_and(|sent| says(sent, value)))
        }
        (sent, recorded) => sent == recorded,
    }
}

/// A shim of version 1: it knows the recorded requests, and answers with the recorded bytes.
fn frozen_shim(dir: &Path) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(dir.join("shim.sock")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let conversation = conversation();
        let mut heard = Vec::new();
        while let Some(text) = receive(&mut stream) {
            let request: Value = serde_json::from_str(&text).unwrap();
            let known = conversation.iter().find(|(recorded, _)| {
                request["v"] == recorded["v"] && says(&request["call"], &recorded["call"])
            });
            let Some((recorded, answer)) = known else {
                panic!("a shim of version 1 was never asked this: {text}");
            };
            // The number is the client's own.
            let (from, to) = (
                format!("\"id\":{},\"result\"", recorded["id"]),
                format!("\"id\":{},\"result\"", request["id"]),
            );
            send(&mut stream, &answer.replacen(&from, &to, 1));
            heard.push(text);
        }
        heard
    })
}

#[test]
fn todays_client_is_understood_by_a_shim_of_version_1() {
    let dir = TempDir::new();
    let shim = frozen_shim(dir.path());
    let mut client = Client::connect(dir.path()).unwrap();
    let status = client.status().unwrap();
    assert_eq!((status.phase, status.pid, status.start_time), (Phase::Running, 10223, 8_722_671));
    client.pause().unwrap();
    client.resume().unwrap();
    let process = serde_json::json!({
        "args": ["/nothing"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": false,
    });
    let exec_id = Some("newer than the shim".to_owned());
    let exec = ExecRequest { process, streams: StreamSet::default(), detached: true, exec_id };
    let refused = client.exec(exec).unwrap_err();
    assert_eq!(refused.exit_code(), Some(127));
    client.hold_cleanup().unwrap();
    let exit = client.stop(15, Some(Duration::from_secs(10))).unwrap();
    assert_eq!((exit.code, exit.by_hand), (Some(0), true));
    client.cleaned_up().unwrap();
    assert_eq!(shim.join().unwrap().len(), 7);
}

/// Whether `today` has all that `then` had, of the same kind.
fn has_shape(today: &Value, then: &Value, at: &str) {
    match (today, then) {
        (Value::Object(today), Value::Object(then)) => {
            for (key, value) in then {
                let found = today.get(key).unwrap_or_else(|| panic!("{at}.{key} is gone: {today:?}"));
                has_shape(found, value, &format!("{at}.{key}"));
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Array(_), Value::Array(_)) | (Value::Bool(_), Value::Bool(_)) => {}
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => {}
        (today, then) => panic!("{at} was {then} and is {today}"),
    }
}

#[test]
fn a_client_of_version_1_is_understood_by_todays_shim() {
    isolated(|| {
        let rig = Rig::shell("trap 'exit 0' TERM; while :; do sleep 0.05; done");
        let (client, _) = rig.run();
        rig_ready(&rig);
        let mut stream = UnixStream::connect(rig.state_dir().join("shim.sock")).unwrap();
        for (request, recorded) in conversation() {
            send(&mut stream, &request.to_string());
            let answer = loop {
                // An end is also told unasked.
                let text = receive(&mut stream).unwrap();
                let answer: Value = serde_json::from_str(&text).unwrap();
                if answer["id"] == request["id"] {
                    break answer;
                }
            };
            has_shape(&answer, &serde_json::from_str(&recorded).unwrap(), &request["call"].to_string());
        }
        drop(client);
    });
}

/// The shell has set its trap when it runs its first child.
fn rig_ready(rig: &Rig) {
    let (mut client, pid) = {
        let mut client = rig.connect();
        let pid = client.status().unwrap().pid;
        (client, pid)
    };
    testkit::wait_for("the trap", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & 1 << 14 != 0).then_some(())
    });
    assert_eq!(client.status().unwrap().phase, Phase::Running);
}

#[test]
fn a_container_with_a_record_of_version_1_is_taken_over() {
    isolated(|| {
        let rig = Rig::shell("trap 'exit 4' TERM; while :; do sleep 0.05; done");
        let (_, started) = rig.run();
        rig_ready(&rig);
        kill_shim(&rig, &started);
        let dir = rig.dir.path().to_string_lossy().into_owned();
        let record = include_str!("../fixtures/v1/shim.json")
            .replace("\"ID\"", &format!("\"{ID}\""))
            .replace("DIR", &dir)
            .replace("PID", &started.pid.to_string())
            .replace("START", &started.start_time.to_string());
        fs::write(rig.state_dir().join("shim.json"), record).unwrap();
        let (mut client, again) = rig.adopt_alive();
        assert_eq!((again.pid, again.start_time), (started.pid, started.start_time));
        assert!(client.status().unwrap().adopted);
        assert_eq!(client.stop(15, Some(Duration::from_secs(10))).unwrap().code, Some(4));
    });
}

#[test]
fn a_record_of_a_newer_version_is_refused_and_the_container_lives_on() {
    isolated(|| {
        let rig = Rig::shell("while :; do sleep 0.05; done");
        let (_, started) = rig.run();
        kill_shim(&rig, &started);
        let path = rig.state_dir().join("shim.json");
        let ours = fs::read_to_string(&path).unwrap();
        let mut newer: Value = serde_json::from_str(&ours).unwrap();
        newer["version"] = 2.into();
        newer["setup"]["log"] = "in a form that is not known yet".into();
        fs::write(&path, newer.to_string()).unwrap();
        let refused = rig.adopt().unwrap_err();
        let text = format!("{refused:?} {refused}");
        assert!(text.contains("version 2") && text.contains("newer"), "{text}");
        assert_eq!(base::Classified::class(&refused), ErrorClass::Unsupported, "{text}");
        assert!(is_running(started.pid), "it was not harmed");
        assert_eq!(fs::read_to_string(&path).unwrap(), newer.to_string(), "nor its record");
        fs::write(&path, ours).unwrap();
        let (mut client, again) = rig.adopt_alive();
        assert_eq!(again.pid, started.pid);
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}
