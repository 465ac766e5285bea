//! Row SE-07: AppArmor.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{Output, Strake, TempDir, run};

use crate::container::Container;

/// Everything but reading what is secret.
const PROFILE: &str = "profile strake-guest flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  deny /etc/secret r,
}
";

/// Loads the profile with Debian's parser.
fn load() {
    let dir = TempDir::new();
    let file = dir.join("profile");
    fs::write(&file, PROFILE).unwrap();
    run(Command::new("/sbin/apparmor_parser").args(["--replace", "--skip-cache"]).arg(file)).ok();
}

#[test]
fn se_07_a_profile_confines_a_container() {
    load();
    let script = "cat /proc/self/attr/current /etc/public; cat /etc/secret";
    let container =
        Container::new(script).with(|spec| spec["process"]["apparmorProfile"] = json!("strake-guest"));
    for file in ["etc/public", "etc/secret"] {
        fs::write(container.in_root(file), "words\n").unwrap();
    }
    let said = container.run();
    assert_eq!(said.exits(1).stdout, "strake-guest (enforce)\nwords\n");
    said.says("/etc/secret").says("Permission denied");
}

#[test]
fn se_07_exec_is_confined_too() {
    load();
    let container = Container::new("sleep 1000").with(|spec| {
        spec["process"]["apparmorProfile"] = json!("strake-guest");
    });
    fs::write(container.in_root("etc/secret"), "words\n").unwrap();
    container.start();
    container.runtime(&["exec", "c", "cat", "/etc/secret"]).exits(1).says("Permission denied");
}

#[test]
fn se_07_a_profile_that_is_not_loaded_is_an_error() {
    let container =
        Container::new("true").with(|spec| spec["process"]["apparmorProfile"] = json!("strake-missing"));
    let said = container.run();
    assert_ne!(said.code, 0);
    said.says("strake-missing");
}

fn host() -> Strake {
    Strake::new().with_busybox()
}

/// Runs `script` to its end.
fn through_engine(strake: &Strake, options: &[&str], script: &str) -> Output {
    let head = ["run", "--rm", "--network", "none"];
    strake.run(&[&head[..], options, &["busybox", "sh", "-c", script]].concat())
}

const LABEL: &str = "cat /proc/self/attr/current";

#[test]
fn se_07_containers_of_the_engine_get_its_profile() {
    let strake = host();
    strake.ok(&["run", "-d", "--name", "web", "--network", "none", "busybox", "sleep", "1000"]);
    let profile = |name: &str| strake.ok(&["inspect", "--format", "{{.AppArmorProfile}}", name]);
    assert_eq!(profile("web"), "strake-default");
    for command in ["cat /proc/self/attr/current", "cat /proc/1/attr/current"] {
        assert_eq!(strake.ok(&["exec", "web", "sh", "-c", command]), "strake-default (enforce)");
    }
    let explained = strake.ok(&["explain", "web"]);
    assert!(explained.contains("strake-default (enforce)"), "{explained}");
    let checked = strake.run(&["check"]).stdout;
    let line = checked.lines().find(|line| line.contains("apparmor-profile"));
    assert!(line.is_some_and(|line| line.contains(" ok ") && line.ends_with("loaded")), "{checked}");
    // The host ends it, and its own processes end each other.
    strake.ok(&["exec", "web", "sh", "-c", "sleep 1000 & kill $! && ! wait $!"]);
    strake.ok(&["kill", "web"]);
    strake.ok(&["wait", "web"]);
    let (named, none) =
        (["--security-opt", "apparmor=strake-guest"], ["--security-opt", "apparmor=unconfined"]);
    load();
    for (options, label) in [
        (&named[..], "strake-guest (enforce)"),
        (&none, "unconfined"),
        (&["--privileged"], "unconfined"),
        (&["--privileged", named[0], named[1]], "strake-guest (enforce)"),
        (&["--security-opt", "no-new-privileges"], "strake-default (enforce)"),
        (&["--user", "1000"], "strake-default (enforce)"),
    ] {
        assert_eq!(through_engine(&strake, options, LABEL).ok(), label, "{options:?}");
    }
    let create = |name: &str, options: &[&str]| {
        strake
            .ok(&[&["run", "-d", "--name", name, "--network", "none"], options, &["busybox", "true"]]
                .concat());
        profile(name)
    };
    assert_eq!(create("open", &none), "unconfined");
    assert_eq!(create("walls-down", &["--privileged"]), "unconfined");
    assert_eq!(create("named", &named), "strake-guest");
}

#[test]
fn se_07_the_engines_profile_guards_what_capabilities_leave_open() {
    let strake = host();
    let open = [
        "--cap-add",
        "ALL",
        "--security-opt",
        "systempaths=unconfined",
        "--security-opt",
        "seccomp=unconfined",
    ];
    let unconfined = [&open[..], &["--security-opt", "apparmor=unconfined"]].concat();
    for script in [
        "mount -t tmpfs tmpfs /tmp",
        ": >/proc/sysrq-trigger",
        "head -c 1 /proc/kcore >/dev/null",
        ": >/proc/irq/default_smp_affinity",
        ": >/proc/sys/vm/drop_caches",
        ": >/proc/sys/kernel/core_pattern",
        ": >/proc/sys/kernel/sched_rt_period_us",
    ] {
        let said = through_engine(&strake, &open, script);
        assert_ne!(said.code, 0, "{script}");
        said.says("ermission denied");
        through_engine(&strake, &unconfined, script).ok();
    }
    let allowed = "echo 5 >/proc/self/oom_score_adj && : >/proc/sys/kernel/shmmax && : >/proc/sys/kernel/sem && \
                   echo words >/root/file && cat /root/file && umount /dev/shm";
    assert_eq!(through_engine(&strake, &open, allowed).ok(), "words");
}

/// The parser is not where it is looked for, until the end.
struct NoParser;

impl NoParser {
    const HERE: &'static str = "/sbin/apparmor_parser";
    const AWAY: &'static str = "/sbin/apparmor_parser.away";

    fn new() -> Self {
        fs::rename(Self::HERE, Self::AWAY).unwrap();
        // None is loaded yet when this is the first test.
        let _ = fs::write("/sys/kernel/security/apparmor/.remove", "strake-default");
        Self
    }
}

impl Drop for NoParser {
    fn drop(&mut self) {
        fs::rename(Self::AWAY, Self::HERE).unwrap();
    }
}

#[test]
fn se_07_without_the_parser_containers_run_unconfined_and_that_is_said() {
    let strake = host();
    let away = NoParser::new();
    let said = through_engine(&strake, &[], LABEL);
    assert_eq!(said.ok(), "unconfined");
    said.says("AppArmor is on, and the container runs without a profile")
        .says("apparmor_parser is not installed");
    let checked = strake.run(&["check"]).stdout;
    let line = checked.lines().find(|line| line.contains("apparmor-profile"));
    assert!(line.is_some_and(|line| line.contains("WARN") && line.contains("cannot be loaded")), "{checked}");
    through_engine(&strake, &["--security-opt", "apparmor=strake-missing"], LABEL).says("strake-missing");
    drop(away);
    assert_eq!(through_engine(&strake, &[], LABEL).ok(), "strake-default (enforce)");
}
