//! Clients at the container's streams: several, slow, detaching, dying.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use shim::{StdinMode, StreamSet};
use testkit::{isolated, wait_until};

use crate::rig::{Rig, output_of, outputs, read_all};

#[test]
fn output_comes_to_every_client_and_to_the_log() {
    isolated(|| {
        let rig = Rig::shell("echo out; echo err >&2");
        let (mut client, _) = rig.launch().unwrap();
        let first = client.attach(outputs()).unwrap();
        let second = rig.connect().attach(outputs()).unwrap();
        client.start().unwrap();
        client.wait().unwrap();
        for attached in [first, second] {
            assert_eq!(read_all(attached.stdout), "out\n");
            assert_eq!(read_all(attached.stderr), "err\n");
        }
        assert_eq!(rig.log_entries().len(), 2);
    });
}

#[test]
fn the_end_of_a_clients_input_is_the_containers_once() {
    isolated(|| {
        let mut rig = Rig::shell("cat; echo done");
        rig.stdin = StdinMode::Once;
        let (mut client, _) = rig.launch().unwrap();
        let mut attached = client.attach(StreamSet::ALL).unwrap();
        client.start().unwrap();
        let mut stdin = File::from(attached.stdin.take().unwrap());
        let text = "a line of input\n".repeat(20_000);
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).map(|()| text.len()));
        let output = output_of(attached);
        assert_eq!(output.len(), writer.join().unwrap().unwrap() + "done\n".len());
        assert!(output.ends_with("input\ndone\n"));
        assert_eq!(client.wait().unwrap().code, Some(0));
    });
}

#[test]
fn an_open_stdin_outlives_its_clients() {
    isolated(|| {
        let mut rig = Rig::shell("read a; echo got $a; read b; echo got $b");
        rig.stdin = StdinMode::Open;
        let (mut client, _) = rig.run();
        for word in ["one", "two"] {
            let attached = rig.connect().attach(StreamSet { stdin: true, ..StreamSet::default() }).unwrap();
            File::from(attached.stdin.unwrap()).write_all(format!("{word}\n").as_bytes()).unwrap();
            rig.wait_for_log(&format!("got {word}\n"));
        }
        assert_eq!(client.wait().unwrap().code, Some(0));
    });
}

#[test]
fn detaching_does_not_end_the_input() {
    isolated(|| {
        let mut rig = Rig::shell("read a; echo got $a");
        rig.stdin = StdinMode::Once;
        let (mut client, _) = rig.run();
        let mut second = rig.connect();
        let attached = second.attach(StreamSet::ALL).unwrap();
        assert_eq!(client.status().unwrap().attached, 1);
        second.detach().unwrap();
        assert_eq!(read_all(attached.stdout), "");
        drop(attached.stdin);
        assert_eq!(client.status().unwrap().attached, 0);
        let attached = client.attach(StreamSet { stdin: true, ..StreamSet::default() }).unwrap();
        File::from(attached.stdin.unwrap()).write_all(b"later\n").unwrap();
        assert_eq!(client.wait().unwrap().code, Some(0));
        assert_eq!(rig.log_text(), "got later\n");
    });
}

#[test]
fn a_slow_client_loses_nothing_and_a_dead_one_holds_up_nobody() {
    isolated(|| {
        let rig = Rig::shell("head -c 3000000 /dev/zero | tr '\\0' x");
        let (mut client, _) = rig.launch().unwrap();
        let slow = client.attach(outputs()).unwrap();
        let dead = rig.connect().attach(outputs()).unwrap();
        client.start().unwrap();
        // Nobody reads: both pipes fill, and the container waits.
        rig.wait_for_log("xxx");
        let mut waiting = rig.connect();
        let logged = rig.log_text().len();
        assert!(logged < 3_000_000, "held up, not buffered: {logged}");
        drop(dead);
        assert_eq!(waiting.status().unwrap().attached, 1);
        assert_eq!(output_of(slow).len(), 3_000_000);
        assert_eq!(client.wait().unwrap().code, Some(0));
        assert_eq!(rig.log_text().len(), 3_000_000);
    });
}

#[test]
fn a_client_that_never_reads_gets_its_rest_after_the_end() {
    isolated(|| {
        let rig = Rig::shell("head -c 100000 /dev/zero | tr '\\0' x");
        let (mut client, _) = rig.launch().unwrap();
        let attached = client.attach(outputs()).unwrap();
        client.start().unwrap();
        assert_eq!(client.wait().unwrap().code, Some(0));
        assert_eq!(output_of(attached).len(), 100_000);
        rig.assert_clean();
    });
}

#[test]
fn a_container_that_closes_its_stdin_tells_the_client() {
    isolated(|| {
        let mut rig = Rig::shell("exec <&-; echo closed; sleep 1000");
        rig.stdin = StdinMode::Once;
        let (mut client, _) = rig.launch().unwrap();
        let attached = client.attach(StreamSet { stdin: true, ..StreamSet::default() }).unwrap();
        client.start().unwrap();
        rig.wait_for_log("closed\n");
        let mut stdin = File::from(attached.stdin.unwrap());
        let broken = wait_until(Duration::from_secs(10), || stdin.write_all(b"x").is_err());
        assert!(broken, "EPIPE comes back to the client");
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn output_before_the_attachment_is_not_replayed() {
    isolated(|| {
        let mut rig = Rig::shell("echo before; read x; echo after");
        rig.stdin = StdinMode::Open;
        let (mut client, _) = rig.run();
        rig.wait_for_log("before\n");
        let mut attached = client.attach(StreamSet::ALL).unwrap();
        File::from(attached.stdin.take().unwrap()).write_all(b"\n").unwrap();
        let mut text = String::new();
        File::from(attached.stdout.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "after\n");
    });
}
