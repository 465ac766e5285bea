//! A person at a terminal.

use testkit::registry::Registry;
use testkit::{Strake, Terminal, images, isolated, wait_for};

use crate::sleeper;

#[test]
fn debians_bash_on_a_terminal_with_resize_and_control_c() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        strake.ok(&["pull", "--quiet", &debian]);
        let command = strake.command(&[
            "run",
            "-it",
            "--rm",
            "--network",
            "none",
            "-e",
            "PS1=ready> ",
            &debian,
            "bash",
            "--norc",
        ]);
        let mut terminal = Terminal::spawn(&command, 33, 77);
        terminal.expect("ready> ");
        terminal.types("stty size\n");
        terminal.expect("33 77");
        terminal.expect("ready> ");
        terminal.resize(44, 99);
        terminal.types("until stty size | grep 44; do :; done\n");
        terminal.expect("44 99");
        terminal.expect("ready> ");
        terminal.types("sh -c 'echo sleeping; exec sleep 3600'\n");
        terminal.expect("sleeping\r\n");
        terminal.types("\x03");
        terminal.expect("ready> ");
        terminal.types("echo code $?\n");
        terminal.expect("code 130");
        terminal.types("tty; exit 7\n");
        terminal.expect("/dev/pts/");
        assert_eq!(terminal.wait().1, 7);
    });
}

#[test]
fn control_c_ends_an_attached_container_without_a_terminal_and_exec_has_its_own() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "shell", &["--network", "none"]);
        let command = strake.command(&["exec", "-it", "-e", "PS1=in> ", "shell", "sh"]);
        let mut terminal = Terminal::spawn(&command, 24, 80);
        terminal.expect("in> ");
        terminal.types("stty size; exit 4\n");
        terminal.expect("24 80");
        assert_eq!(terminal.wait().1, 4);

        let script = "trap 'echo interrupted; exit 5' INT; echo waiting; while :; do sleep 0.1; done";
        let command = strake.command(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]);
        let mut terminal = Terminal::spawn(&command, 24, 80);
        terminal.expect("waiting");
        terminal.types("\x03");
        terminal.expect("interrupted");
        assert_eq!(terminal.wait().1, 5);
    });
}

#[test]
fn detach_keys_leave_the_container_running() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let command = strake.command(&[
            "run",
            "-it",
            "--name",
            "kept",
            "--network",
            "none",
            "-e",
            "PS1=in> ",
            "busybox",
            "sh",
        ]);
        let mut terminal = Terminal::spawn(&command, 24, 80);
        terminal.expect("in> ");
        terminal.types("\x10\x11");
        assert_eq!(terminal.wait().1, 0);
        assert_eq!(strake.ok(&["inspect", "--format", "{{.State.Status}}", "kept"]), "running");
    });
}

#[test]
fn other_detach_keys_for_run_attach_and_exec() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let start = ["run", "-it", "--name", "kept", "--network", "none", "-e", "PS1=in> ", "--detach-keys"];
        let detached = |args: &[&str], keys: &str| {
            // Who attaches sees the prompt at once: the shell draws it anew.
            let mut terminal = Terminal::spawn(&strake.command(args), 24, 80);
            terminal.expect("in> ");
            // The usual keys mean nothing to who has chosen others.
            terminal.types("\x10\x11");
            terminal.types("echo st''ill\n");
            terminal.expect("still");
            terminal.types(keys);
            // As docker: only who has started it leaves it without an error.
            let (said, code) = terminal.wait();
            let expected = if args[0] == "run" { 0 } else { 1 };
            assert_eq!(code, expected, "{args:?}");
            assert_eq!(said.contains("read escape sequence"), code == 1, "{said}");
            assert_eq!(strake.ok(&["inspect", "--format", "{{.State.Status}}", "kept"]), "running");
        };
        detached(&[&start[..], &["ctrl-a,x", "busybox", "sh"]].concat(), "\x01x");
        detached(&["attach", "--detach-keys", "ctrl-e,q", "kept"], "\x05q");
        detached(&["exec", "-it", "-e", "PS1=in> ", "--detach-keys=ctrl-b,b", "kept", "sh"], "\x02b");
        let refused = strake.run(&["attach", "--detach-keys", "ctrl-frob", "kept"]);
        refused.exits(1).says("ctrl-frob");
    });
}

#[test]
fn without_sig_proxy_a_signal_is_the_clients_own() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
        for (proxied, code, state) in [("true", Some(9), "exited"), ("false", None, "running")] {
            let name = format!("proxy-{proxied}");
            let flag = format!("--sig-proxy={proxied}");
            let args = ["run", "--name", &name, "--network", "none", &flag, "busybox", "sh", "-c", script];
            let client = strake.background(&args);
            wait_for("it to be ready", || {
                strake.run(&["logs", &name]).stdout.contains("ready").then_some(())
            });
            let pid = rustix::process::Pid::from_raw(i32::try_from(client.pid()).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            let ended = client.wait();
            assert_eq!(ended.status.code(), code, "{proxied}: {ended:?}");
            assert_eq!(strake.ok(&["inspect", "--format", "{{.State.Status}}", &name]), state);
        }
    });
}
