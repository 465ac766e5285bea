//! Own process, unshared children, limited children.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use explain::{Report, Section, Style, View, explain, render};
use inspect::Proc;
use testkit::{CgroupSubtree, isolated, wait_for};

/// A child that lives until it is dropped.
struct Held(Child);

impl Held {
    /// Starts `command` and waits for the PID that it prints as its first line.
    fn start(command: &mut Command) -> (Self, i32) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("no PID in {line:?}"));
        let held = Self(child);
        wait_for("the shell to become cat", || {
            (fs::read_to_string(format!("/proc/{pid}/comm")).ok()? == "cat\n").then_some(())
        });
        (held, pid)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn report(pid: i32) -> Report {
    let view = View::gather(&Proc::open().unwrap(), pid).unwrap();
    explain(&view, None)
}

#[track_caller]
fn section<'a>(report: &'a Report, id: &str) -> &'a Section {
    report.sections.iter().find(|section| section.id == id).unwrap_or_else(|| panic!("no section {id}"))
}

#[track_caller]
fn value(report: &Report, id: &str, name: &str) -> String {
    let found = section(report, id).lines.iter().find(|line| line.name == name);
    found.unwrap_or_else(|| panic!("no line {name} in {:#?}", section(report, id))).value.clone()
}

fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A shell that prints its PID and becomes a program that waits for its stdin to close.
const PRINT_AND_WAIT: &str = "echo $$; exec cat";

#[test]
fn xx_02_the_four_that_are_isolated_come_first() {
    let report = report(std::process::id() as i32);
    let first: Vec<&str> = report.sections.iter().take(4).map(|section| section.title).collect();
    assert_eq!(first, ["Filesystem", "Process tree", "Network", "Users"]);
    for section in &report.sections[..4] {
        assert!(section.verdict.is_some(), "{} has no verdict", section.title);
    }
}

#[test]
fn xx_01_the_kernel_is_the_hosts_and_the_user_space_is_named() {
    let report = report(std::process::id() as i32);
    let kernel = value(&report, "kernel_and_user_space", "kernel");
    assert_eq!(
        kernel,
        format!("Linux {}, {}", output("uname", &["-r"]).trim(), output("uname", &["-m"]).trim())
    );
    let os = fs::read_to_string("/etc/os-release").unwrap();
    let name = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap().trim_matches('"');
    assert_eq!(value(&report, "kernel_and_user_space", "user space"), name);
    assert_eq!(value(&report, "kernel_and_user_space", "host"), name);
    let expected = output("getconf", &["GNU_LIBC_VERSION"]);
    assert_eq!(value(&report, "kernel_and_user_space", "libc"), expected.trim());
}

#[test]
fn every_line_has_value_source_and_one_sentence() {
    let report = report(std::process::id() as i32);
    for line in report.sections.iter().flat_map(|section| &section.lines) {
        assert!(!line.value.is_empty() && !line.source.is_empty(), "{line:?}");
        assert!(line.meaning.ends_with('.'), "{line:?}");
    }
    let json = serde_json::to_value(&report).unwrap();
    let line = &json["sections"][0]["lines"][0];
    for field in ["name", "value", "source", "meaning"] {
        assert!(line[field].is_string(), "{field} is missing in {line}");
    }
    let text = render(&report, Style::default());
    assert!(text.lines().count() > 30, "{text}");
}

#[test]
fn an_unshared_child_is_private_where_it_is() {
    isolated(|| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--uts", "--ipc", "sh", "-c", PRINT_AND_WAIT]);
        let (_held, pid) = Held::start(&mut command);
        let view = View::gather(&Proc::open().unwrap(), pid).unwrap();
        let report = explain(&view, None);
        for kind in ["mnt", "net", "uts", "ipc"] {
            let shown = value(&report, "namespaces", kind);
            assert!(shown.contains("private"), "{kind}: {shown}");
        }
        for kind in ["user", "pid", "cgroup", "time"] {
            let shown = value(&report, "namespaces", kind);
            assert!(shown.contains("shared with the host"), "{kind}: {shown}");
        }
        assert_eq!(section(&report, "network").verdict.as_deref(), Some("private"));
        assert_eq!(section(&report, "process_tree").verdict.as_deref(), Some("shared with the host"));
        // lsns as the oracle of the inodes.
        for line in
            output("lsns", &["--noheadings", "--output", "NS,TYPE", "--task", &pid.to_string()]).lines()
        {
            let (inode, kind) = line.trim().split_once(' ').unwrap();
            let shown = value(&report, "namespaces", kind.trim());
            assert!(shown.starts_with(inode), "{kind}: lsns {inode}, explain {shown}");
        }
        // Its network is empty but for a loopback that is down.
        assert!(value(&report, "network", "interface").starts_with("lo no address, down"));
        assert_eq!(value(&report, "network", "route"), "none");
    });
}

#[test]
fn a_child_in_its_own_pid_namespace_has_two_numbers() {
    isolated(|| {
        let mut command = Command::new("unshare");
        // The outer number is read from an outer /proc, which the child still sees.
        let script = "sed -n 's/^PPid:\\t//p' /proc/self/status; exec cat";
        command.args(["--pid", "--fork", "--kill-child", "sh", "-c", script]);
        let (_held, pid) = Held::start(&mut command);
        let report = report(pid);
        assert_eq!(value(&report, "process_tree", "pid outside"), pid.to_string());
        assert_eq!(value(&report, "process_tree", "pid inside"), "1");
        assert_eq!(value(&report, "process_tree", "sees"), "1 process");
        // cat handles no SIGTERM, so as PID 1 it is deaf to it; some versions of unshare
        // leave the signal blocked.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
        let blocked = u64::from_str_radix(blocked, 16).unwrap() & 1 << 14 != 0;
        let expected = if blocked { "blocked" } else { "no handler" };
        assert_eq!(value(&report, "process_tree", "SIGTERM"), expected);
        assert!(value(&report, "process_tree", "parent").starts_with("unshare"));
    });
}

#[test]
fn a_mapped_root_is_an_ordinary_user_outside() {
    isolated(|| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "10005", "--regid", "10005", "--clear-groups"]);
        command.args(["unshare", "--user", "--map-root-user", "sh", "-c", PRINT_AND_WAIT]);
        let (_held, pid) = Held::start(&mut command);
        let report = report(pid);
        assert_eq!(value(&report, "users", "user"), "0 inside, 10005 on the host");
        assert_eq!(value(&report, "users", "uid map"), "0-0 inside are 10005-10005");
        assert_eq!(section(&report, "users").verdict.as_deref(), Some("private"));
    });
}

#[test]
fn cg_12_a_limited_child_shows_its_limits_in_one_table() {
    let group = CgroupSubtree::new("explain");
    fs::write(group.dir("memory").join("memory.limit_in_bytes"), "67108864").unwrap();
    fs::write(group.dir("pids").join("pids.max"), "32").unwrap();
    fs::write(group.dir("cpu").join("cpu.cfs_quota_us"), "50000").unwrap();
    let (_held, pid) = Held::start(Command::new("sh").args(["-c", PRINT_AND_WAIT]));
    for controller in ["memory", "pids", "cpu", "cpuacct"] {
        fs::write(group.dir(controller).join("cgroup.procs"), pid.to_string()).unwrap();
    }
    let report = report(pid);
    let shown = |name| value(&report, "control_groups", name);
    assert_eq!(shown("memory limit"), "64MiB");
    assert_eq!(shown("PIDs limit"), "32");
    assert_eq!(shown("PIDs used"), "1");
    assert_eq!(shown("CPU limit"), "0.50 CPUs (50ms of each 100ms)");
    assert_eq!(shown("OOM kills"), "0");
    let groups: Vec<_> =
        section(&report, "control_groups").lines.iter().filter(|line| line.name == "group").collect();
    let ours = groups.iter().find(|line| line.value.starts_with(group.path())).unwrap();
    for controller in ["memory", "pids", "cpu", "cpuacct"] {
        assert!(ours.value.contains(controller), "{}", ours.value);
    }
    // The source named is the file that holds it.
    let limit =
        section(&report, "control_groups").lines.iter().find(|line| line.name == "memory limit").unwrap();
    assert_eq!(fs::read_to_string(&limit.source).unwrap().trim(), "67108864");
}

#[test]
fn an_overlay_shows_its_layers_and_what_was_copied_up() {
    isolated(|| {
        let top = testkit::TempDir::new();
        let script = format!(
            "set -e; mount -t tmpfs none {0}; cd {0}; mkdir low1 low2 up work root; \
             for f in /bin/cat $(ldd /bin/cat | grep -o '/[^ ]*'); do \
               mkdir -p low1$(dirname $f); cp $f low1$f; done; \
             mkdir low2/etc; echo 'PRETTY_NAME=\"Test OS 7\"' > low2/etc/os-release; \
             head -c 100000 /dev/zero > low2/big; echo x > low2/gone; \
             mount -t overlay none -o lowerdir=low2:low1,upperdir=$PWD/up,workdir=work root; \
             echo x >> root/big; rm root/gone; mount --bind root root; cd root; \
             echo $$; exec unshare --mount --root . /bin/cat",
            top.path().display()
        );
        let (_held, pid) = Held::start(Command::new("sh").args(["-c", &script]));
        let view = View::gather(&Proc::open().unwrap(), pid).unwrap();
        let report = explain(&view, None);
        assert_eq!(value(&report, "kernel_and_user_space", "user space"), "Test OS 7");
        assert_eq!(value(&report, "filesystem", "root"), "overlay, writable");
        assert!(value(&report, "filesystem", "layer 1").ends_with("low1"));
        assert!(value(&report, "filesystem", "layer 2").ends_with("low2"));
        assert!(value(&report, "filesystem", "written").ends_with(", 1 deleted"));
        let big = section(&report, "filesystem").lines.iter().find(|line| line.name == "big file").unwrap();
        assert_eq!(big.value, "/big 97.7KiB");
        assert!(big.meaning.starts_with("Copied up"), "{}", big.meaning);
    });
}

#[test]
fn a_process_that_is_gone_is_not_found() {
    use base::Classified as _;
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let error = View::gather(&Proc::open().unwrap(), child.id() as i32).unwrap_err();
    assert_eq!(error.class(), base::ErrorClass::NotFound);
}
