//! Terminals: the console socket, `/dev/console`, sizes.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use serde_json::json;
use testkit::{isolated, wait_until};

use crate::bundle::Bundle;

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs a command that hands a terminal over, and gives the master.
fn over_socket(bundle: &Bundle, args: &[&str]) -> std::fs::File {
    let path = bundle.dir.join("console.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let socket = path.display().to_string();
    let mut all = vec![args[0], "--console-socket", &socket];
    all.extend(&args[1..]);
    let output = testkit::run(&mut bundle.command(&all));
    output.ok();
    let (stream, _) = listener.accept().unwrap();
    let (_, mut fds) = sys::fdpass::receive(&stream, &mut [0; 64], 1).unwrap();
    fds.pop().expect("a terminal").into()
}

/// What is printed up to `end`, or what there is after ten seconds.
fn read_until(master: &mut std::fs::File, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    let until = std::time::Instant::now() + 2 * SHORTLY;
    rustix::fs::fcntl_setfl(&*master, rustix::fs::OFlags::NONBLOCK).unwrap();
    while !text.contains(end) && std::time::Instant::now() < until {
        let mut set = [rustix::event::PollFd::new(master, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut set, Some(&rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
        if set[0].revents().is_empty() {
            continue;
        }
        match master.read(&mut buffer) {
            Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => break,
        }
    }
    text
}

#[test]
fn init_gets_a_terminal_of_its_own_devpts() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| {
                spec["process"]["terminal"] = json!(true);
                spec["process"]["consoleSize"] = json!({ "width": 91, "height": 33 });
            })
            .script("tty; stty size; stat -c '%F %t' /dev/console; echo x > /dev/console; read line; echo got $line; ps -o tty | tail -1; echo end");
        bundle.write_config();
        let path = bundle.dir.path().display().to_string();
        let mut master = over_socket(&bundle, &["create", "--bundle", &path, "c"]);
        bundle.runtime(&["start", "c"]).ok();
        master.write_all(b"hello\n").unwrap();
        let text = read_until(&mut master, "end");
        assert!(text.contains("/dev/pts/0") && text.contains("33 91"), "{text}");
        assert!(text.contains("character special file 88") && text.contains("got hello"), "{text}");
        // The terminal ends with its last user.
        assert!(wait_until(SHORTLY, || bundle.state()["status"] == "stopped"));
    });
}

#[test]
fn exec_gets_a_terminal_and_ctrl_c_reaches_it() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        let mut master = over_socket(
            &bundle,
            &[
                "exec",
                "-d",
                "-t",
                "c",
                "sh",
                "-c",
                "tty; trap 'echo caught' INT; echo ready; while :; do sleep 1; done",
            ],
        );
        let text = read_until(&mut master, "ready");
        assert!(text.contains("/dev/pts/0"), "{text}");
        master.write_all(&[3]).unwrap();
        let text = read_until(&mut master, "caught");
        assert!(text.contains("caught"), "{text}");
    });
}

#[test]
fn a_terminal_needs_someone_to_take_it() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["process"]["terminal"] = json!(true));
        bundle.create().exits(1).says("cannot allocate tty");
        let bundle = bundle.with(|spec| spec["process"]["terminal"] = json!(false));
        bundle.write_config();
        let path = bundle.dir.path().display().to_string();
        bundle
            .runtime(&["create", "--bundle", &path, "--console-socket", "/x", "c"])
            .exits(1)
            .says("console socket");
        bundle.assert_nothing_left();
    });
}

#[test]
fn run_relays_a_persons_terminal() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| spec["process"]["terminal"] = json!(true))
            .script("stty size; read x; echo got $x; exit 9");
        bundle.write_config();
        let path = bundle.dir.path().display().to_string();
        let mut terminal =
            testkit::Terminal::spawn(&bundle.command(&["run", "--bundle", &path, "c"]), 25, 81);
        terminal.expect("25 81");
        terminal.types("word\n");
        terminal.expect("got word");
        assert_eq!(terminal.wait().1, 9);
        bundle.assert_nothing_left();
    });
}
