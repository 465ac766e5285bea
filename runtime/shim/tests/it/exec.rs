//! Further processes in a container.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use base::Classified;
use serde_json::{Value, json};
use shim::{ExecRequest, StreamSet};
use testkit::isolated;

use crate::rig::{Rig, read_all};
use crate::terminal::Person;

fn process(args: &[&str], terminal: bool) -> Value {
    json!({
        "terminal": terminal, "user": { "uid": 0, "gid": 0 }, "args": args, "cwd": "/",
        "env": ["PATH=/bin", "TERM=xterm", "PS1=ready> "],
    })
}

fn request(script: &str) -> ExecRequest {
    ExecRequest {
        process: process(&["/bin/sh", "-c", script], false),
        streams: StreamSet::ALL,
        detached: false,
        exec_id: None,
    }
}

fn sleeper() -> (Rig, shim::Client) {
    let rig = Rig::shell("trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let (client, _) = rig.run();
    (rig, client)
}

#[test]
fn its_streams_and_status_are_its_own() {
    isolated(|| {
        let (rig, mut client) = sleeper();
        let session = client.exec(request("hostname; cat; echo err >&2; exit 42")).unwrap();
        let mut stdin = File::from(session.stdio.stdin.unwrap());
        stdin.write_all(b"typed\n").unwrap();
        drop(stdin);
        assert_eq!(read_all(session.stdio.stdout), "ship\ntyped\n");
        assert_eq!(read_all(session.stdio.stderr), "err\n");
        let end = rig.connect().exec_waiter(session.session).unwrap().finish().unwrap();
        assert_eq!((end.code, end.signal), (42, None));
        assert_eq!(rig.log_text(), "", "not in the container's log");
        // Also when asked late, and for a process that a signal ended.
        let late = rig.connect().exec_waiter(session.session).unwrap().finish().unwrap();
        assert_eq!(late.code, 42);
        let session = client.exec(request("sleep 1000")).unwrap();
        assert_eq!(client.status().unwrap().execs, 1);
        client.exec_kill(session.session, 9).unwrap();
        let end = rig.connect().exec_waiter(session.session).unwrap().finish().unwrap();
        assert_eq!((end.code, end.signal), (137, Some(9)));
        assert_eq!(client.stop(15, Some(Duration::from_secs(20))).unwrap().code, Some(0));
        rig.assert_clean();
    });
}

#[test]
fn on_a_terminal_the_client_holds_the_master() {
    isolated(|| {
        let (rig, mut client) = sleeper();
        let request = ExecRequest {
            process: process(&["/bin/sh", "-i"], true),
            streams: StreamSet::ALL,
            detached: false,
            exec_id: None,
        };
        let session = client.exec(request).unwrap();
        let master = session.console.unwrap();
        sys::tty::set_size(&master, 66, 22).unwrap();
        let mut person = Person::over(master);
        person.expects("ready> ");
        person.types("stty size; exit 6\n");
        person.expects("22 66\r\n");
        let end = rig.connect().exec_waiter(session.session).unwrap().finish().unwrap();
        assert_eq!(end.code, 6);
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn detached_it_runs_with_nobody_listening() {
    isolated(|| {
        let (rig, mut client) = sleeper();
        for terminal in [false, true] {
            let script = "seq 1 20000; touch /tmp/done; exit 8";
            let request = ExecRequest {
                process: process(&["/bin/sh", "-c", script], terminal),
                streams: StreamSet::default(),
                detached: true,
                exec_id: None,
            };
            let session = client.exec(request).unwrap();
            assert!(session.console.is_none());
            let end = rig.connect().exec_waiter(session.session).unwrap().finish().unwrap();
            assert_eq!(end.code, 8);
            std::fs::remove_file(rig.dir.join("bundle/rootfs/tmp/done")).unwrap();
        }
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn what_cannot_be_executed_is_127_or_126() {
    isolated(|| {
        let (_rig, mut client) = sleeper();
        for (command, code) in [("nowhere", 127), ("/etc/passwd", 126)] {
            let process = process(&[command], false);
            let error = client
                .exec(ExecRequest { process, streams: StreamSet::ALL, detached: false, exec_id: None })
                .unwrap_err();
            assert_eq!(error.exit_code(), Some(code), "{error}");
            assert!(error.to_string().contains(command), "{error}");
        }
        let unknown = client.exec_kill(99, 9).unwrap_err();
        assert_eq!(unknown.class(), base::ErrorClass::NotFound);
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn its_waiters_are_told_when_the_container_ends() {
    isolated(|| {
        let (rig, mut client) = sleeper();
        let session = client.exec(request("sleep 1000")).unwrap();
        let waiter = rig.connect().exec_waiter(session.session).unwrap();
        client.kill(9).unwrap();
        assert_eq!(waiter.finish().unwrap().code, 137);
        rig.assert_clean();
    });
}
