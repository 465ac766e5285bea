//! Containers with a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use shim::{Attached, StdinMode, StreamSet};
use testkit::isolated;

use crate::rig::{Rig, kill, kill_shim};

/// A person at an attached terminal.
pub struct Person {
    input: File,
    output: File,
    seen: String,
    saw_caret_c: bool,
}

impl Person {
    pub fn at(attached: Attached) -> Self {
        let (input, output) = (attached.stdin.unwrap().into(), attached.stdout.unwrap().into());
        Self { input, output, seen: String::new(), saw_caret_c: false }
    }

    pub fn over(master: std::os::fd::OwnedFd) -> Self {
        let output = File::from(master);
        Self { input: output.try_clone().unwrap(), output, seen: String::new(), saw_caret_c: false }
    }

    pub fn types(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub fn expects(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline && self.read_some(), "never saw {text:?} but {:?}", self.seen);
        }
        let at = self.seen.find(text).unwrap();
        self.seen.drain(..at + text.len());
    }

    /// Whether `text` is shown within a moment.
    fn sees(&mut self, text: &str) -> bool {
        while self.read_within(300) {}
        self.saw_caret_c |= self.seen.contains("^C");
        self.seen.contains(text)
    }

    fn read_some(&mut self) -> bool {
        self.read_within(20_000)
    }

    fn read_within(&mut self, milliseconds: i64) -> bool {
        let timeout =
            rustix::time::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        let fd = self.output.as_fd();
        if poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)).unwrap_or(0) == 0 {
            return false;
        }
        let mut bytes = [0; 1024];
        let count = self.output.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}

fn rig() -> Rig {
    let mut rig = Rig::new(&["/bin/sh", "-i"]);
    rig.config["process"]["terminal"] = true.into();
    rig.config["process"]["env"] = serde_json::json!(["PATH=/bin", "TERM=xterm", "PS1=ready> "]);
    rig.stdin = StdinMode::Open;
    rig
}

#[test]
fn a_shell_with_resize_and_ctrl_c() {
    isolated(|| {
        let rig = rig();
        let (mut client, _) = rig.launch().unwrap();
        let mut person = Person::at(client.attach(StreamSet::ALL).unwrap());
        client.resize(77, 33).unwrap();
        client.start().unwrap();
        person.expects("ready> ");
        person.types("stty size\n");
        person.expects("33 77\r\n");
        client.resize(100, 40).unwrap();
        person.types("stty size\n");
        person.expects("40 100\r\n");
        person.types("echo go; sleep 1000\n");
        person.expects("\r\ngo\r\n"); // the shell has left its line editor
        // The shell may be between its jobs just now and miss the first one.
        let interrupted = testkit::wait_until(Duration::from_secs(20), || {
            person.types("\x03");
            person.sees("ready> ")
        });
        assert!(interrupted && person.saw_caret_c, "Ctrl-C did not interrupt: {:?}", person.seen);
        person.seen.clear();
        person.types("exit 9\n");
        assert_eq!(client.wait().unwrap().code, Some(9));
        assert!(rig.log_text().contains("33 77\r\n"), "{}", rig.log_text());
        rig.assert_clean();
    });
}

#[test]
fn a_detached_client_can_come_back() {
    isolated(|| {
        let rig = rig();
        let (mut client, _) = rig.launch().unwrap();
        let mut person = Person::at(client.attach(StreamSet::ALL).unwrap());
        client.start().unwrap();
        person.expects("ready> ");
        person.types("word=kept\n");
        person.expects("ready> ");
        client.detach().unwrap();
        drop(person);
        let mut person = Person::at(rig.connect().attach(StreamSet::ALL).unwrap());
        person.types("echo $word-again\n");
        person.expects("kept-again");
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
    });
}

#[test]
fn the_terminal_outlives_its_shim() {
    isolated(|| {
        let rig = rig();
        let (mut client, started) = rig.launch().unwrap();
        let mut person = Person::at(client.attach(StreamSet::ALL).unwrap());
        client.start().unwrap();
        person.expects("ready> ");
        person.types("word=kept\n");
        person.expects("ready> ");
        kill_shim(&rig, &started);
        let (mut client, again) = rig.adopt_alive();
        assert_eq!(again.pid, started.pid);
        assert_eq!(again.warnings, Vec::<String>::new());
        let mut person = Person::at(client.attach(StreamSet::ALL).unwrap());
        person.types("echo $word-again; stty size\n");
        person.expects("kept-again");
        client.resize(50, 20).unwrap();
        person.types("stty size\n");
        person.expects("20 50\r\n");
        person.types("exit 4\n");
        let exit = client.wait().unwrap();
        assert_eq!((exit.code, exit.adopted), (Some(4), true));
        rig.assert_clean();
    });
}

#[test]
fn without_shim_and_keeper_the_terminal_hangs_up_and_that_is_said() {
    isolated(|| {
        let mut rig = rig();
        rig.config["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "trap '' HUP; sleep 1000"]);
        let (_, started) = rig.run();
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(rig.state_dir().join("shim.json")).unwrap()).unwrap();
        kill(state["keeper"]["pid"].as_i64().unwrap() as i32);
        kill_shim(&rig, &started);
        let (mut client, again) = rig.adopt_alive();
        assert!(again.warnings[0].contains("terminal is lost"), "{:?}", again.warnings);
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
        rig.assert_clean();
    });
}
