//! Rows EN-03…EN-05: what docker users do first.

use testkit::registry::Registry;
use testkit::{Strake, Terminal, images, isolated};

use crate::{ns_inode, proc_file, sleeper};

#[test]
fn en_05_an_image_built_from_debian_packages_runs() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        let script = ". /etc/os-release; echo $ID; dpkg --version | head -1; perl -e 'print 6*7, qq(\\n)'";
        let said = strake.ok(&["run", "--rm", &debian, "bash", "-c", script]);
        assert!(said.starts_with("debian\n"), "{said}");
        assert!(said.contains("dpkg") && said.ends_with("42"), "{said}");
    });
}

#[test]
fn en_03_inspect_gives_the_hosts_pid() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "one", &["--network", "none"]);
        sleeper(&strake, "two", &["--network", "none"]);
        let pids = strake.ok(&["inspect", "--format", "{{.State.Pid}}", "one", "two"]);
        let pids: Vec<i64> = pids.lines().map(|line| line.parse().unwrap()).collect();
        let [one, two] = pids[..] else { panic!("{pids:?}") };
        assert_ne!(one, two);
        for pid in [one, two] {
            assert_eq!(proc_file(pid, "cmdline"), "sleep\u{0}3600\u{0}");
            assert_ne!(ns_inode(pid, "pid"), ns_inode("self", "pid"));
        }
        strake.ok(&["stop", "-t", "0", "one"]);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.State.Pid}} {{.State.Running}}", "one"]), "0 false");
    });
}

#[test]
fn en_04_exec_is_like_a_login_terminal_resize_signals_exit_code() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "server", &["--network", "none"]);
        let command = strake.command(&["exec", "-it", "-e", "PS1=in> ", "server", "sh"]);
        let mut terminal = Terminal::spawn(&command, 30, 90);
        terminal.expect("in> ");
        terminal.types("tty; stty size\n");
        terminal.expect("/dev/pts/");
        terminal.expect("30 90");
        terminal.resize(41, 101);
        terminal.types("until stty size | grep 41; do :; done\n");
        terminal.expect("41 101");
        terminal.expect("in> ");
        // Control-C reaches the program in front, and not the shell.
        terminal.types("sh -c 'echo sleeping; exec sleep 3600'\n");
        terminal.expect("sleeping\r\n");
        terminal.types("\x03");
        terminal.expect("in> ");
        terminal.types("echo code $?\n");
        terminal.expect("code 130");
        terminal.types("exit 42\n");
        assert_eq!(terminal.wait().1, 42);
        strake.run(&["exec", "server", "sh", "-c", "kill -TERM $$"]).exits(143);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.State.Running}}", "server"]), "true");
    });
}
