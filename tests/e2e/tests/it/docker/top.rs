//! `strake top`: the processes of one container, in the columns of `ps`.

use testkit::{Strake, isolated, wait_for};

use crate::{pid, sleeper};

#[test]
fn the_containers_processes_and_no_others_in_the_columns_of_ps() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "other", &["--network", "none"]);
        let script = "sleep 1234 & exec sleep 5678";
        strake.ok(&["run", "-d", "--name", "web", "--network", "none", "busybox", "sh", "-c", script]);
        let rows = |args: &[&str]| -> Vec<Vec<String>> {
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
            strake.ok(&[&["top"], args].concat()).lines().map(words).collect()
        };
        // Both are there once no process is the shell any more, whose arguments name them, too.
        let all = wait_for("the script", || {
            Some(rows(&["web"])).filter(|all| all[1..].iter().all(|row| row[7] == "sleep"))
        });
        assert_eq!(all[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(all.len(), 3, "{all:?}");
        let init = pid(&strake, "web").to_string();
        assert_eq!(all[1][..2], ["root".to_owned(), init.clone()]);
        assert_eq!(
            (all[2][2].as_str(), &all[2][7..]),
            (init.as_str(), &["sleep", "1234"].map(str::to_owned)[..])
        );

        // Options are those of the host's ps.
        let chosen = rows(&["web", "-o", "pid,args"]);
        assert_eq!(chosen[0], ["PID", "COMMAND"]);
        assert_eq!(chosen[1..], [[init.as_str(), "sleep", "5678"], [all[2][1].as_str(), "sleep", "1234"]]);
        assert_eq!(rows(&["web", "aux"]).len(), 3);

        // One that sees the host's processes has only its own, too.
        sleeper(&strake, "wide", &["--network", "none", "--pid", "host"]);
        assert_eq!(rows(&["wide"]).len(), 2);
    });
}

#[test]
fn what_cannot_be_listed_is_refused_in_dockers_words() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none"]);
        strake.run(&["top", "web", "-o", "args"]).exits(1).says("Couldn't find PID field in ps output");
        strake.run(&["top", "web", "-o", "frob"]).exits(1).says("ps: ");
        strake.ok(&["stop", "-t", "0", "web"]);
        strake.run(&["top", "web"]).exits(1).says("not running");
        strake.run(&["top", "ghost"]).exits(1).says("no such container: ghost");
    });
}
