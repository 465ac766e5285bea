//! What callers of another runtime's command line count on: `update`, `events`, names of commands,
//! sub cgroups, and the details that tools found out the hard way.

use std::fs;

use serde_json::{Value, json};
use testkit::{isolated, run, wait_until};

use crate::bundle::{Bundle, lives};

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(5);

fn value(bundle: &Bundle, controller: &str, file: &str) -> String {
    fs::read_to_string(bundle.cgroup.dir(controller).join("c").join(file)).unwrap().trim().to_owned()
}

#[test]
fn update_changes_what_is_named_and_nothing_else() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20 });
            spec["linux"]["resources"]["pids"] = json!({ "limit": 20 });
        });
        bundle.start();
        bundle.runtime(&["update", "--memory", "64M", "--cpu-quota", "60000", "c"]).ok();
        assert_eq!(value(&bundle, "memory", "memory.limit_in_bytes"), (64 << 20).to_string());
        assert_eq!(value(&bundle, "cpu", "cpu.cfs_quota_us"), "60000");
        assert_eq!(value(&bundle, "pids", "pids.max"), "20");
        bundle.runtime(&["update", "c", "--memory", "-1", "--pids-limit", "-1"]).ok();
        assert_eq!(value(&bundle, "pids", "pids.max"), "max");
        let file = bundle.dir.join("resources.json");
        fs::write(&file, r#"{"pids":{"limit":7},"cpu":{"shares":200}}"#).unwrap();
        bundle.runtime(&["update", "-r", file.to_str().unwrap(), "c"]).ok();
        assert_eq!(
            (value(&bundle, "pids", "pids.max"), value(&bundle, "cpu", "cpu.shares")),
            ("7".into(), "200".into())
        );
        bundle.runtime(&["update", "--cpu-idle", "7", "c"]).exits(1).says("cpu.idle");
        bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || bundle.state()["status"] == "stopped"));
        bundle.runtime(&["update", "--pids-limit", "9", "c"]).exits(1).says("container not running");
    });
}

#[test]
fn events_print_statistics_and_end_with_the_container() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        let text = bundle.runtime(&["events", "--stats", "c"]).ok().to_owned();
        assert!(text.starts_with(r#"{"type":"stats","id":"c","data":{"#), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        assert!(event["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
        assert_eq!(event["data"]["pids"]["current"], 1);
        let log = fs::File::create(bundle.dir.join("events")).unwrap();
        let mut child = bundle.command(&["events", "--interval", "20ms", "c"]).stdout(log).spawn().unwrap();
        let printed = || fs::read_to_string(bundle.dir.join("events")).unwrap();
        assert!(wait_until(SHORTLY, || printed().lines().count() > 1));
        bundle.runtime(&["delete", "--force", "c"]).ok();
        assert!(wait_until(SHORTLY, || child.try_wait().unwrap().is_some()));
        bundle.runtime(&["events", "--interval", "x", "c"]).exits(1).says("invalid duration");
    });
}

#[test]
fn exec_enters_the_cgroups_that_are_asked_for() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "cgroup");
        });
        bundle.start();
        let below = bundle.cgroup.dir("memory").join("c/below");
        fs::create_dir(&below).unwrap();
        let cgroups =
            |args: &[&str]| bundle.runtime(&[&["exec"], args, &["c", "cat", "/proc/self/cgroup"]].concat());
        let inside = cgroups(&["--cgroup", "memory:below"]).ok().to_owned();
        assert!(
            inside.lines().any(|line| line.contains(":memory:") && line.ends_with("/c/below")),
            "{inside}"
        );
        assert!(inside.lines().any(|line| line.contains(":pids:") && line.ends_with("/c")), "{inside}");
        cgroups(&["--cgroup", ".."]).exits(255).says("bad sub cgroup path");
        cgroups(&["--cgroup", "nowhere"]).exits(255).says(" adding pid ").says("o such file or directory");
        cgroups(&["--cgroup", "never:/"]).exits(255).says("unknown controller ");
        fs::remove_dir(&below).unwrap();
    });
}

#[test]
fn a_container_that_was_never_started_ends_with_sigterm() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.create().ok();
        let pid = bundle.pid();
        bundle.runtime(&["kill", "c", "TERM"]).ok();
        assert!(wait_until(SHORTLY, || !lives(pid)));
    });
}

#[test]
fn init_at_the_gate_holds_nothing_of_the_callers() {
    isolated(|| {
        let bundle = Bundle::new();
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        let mut command = bundle.command(&["create", "--bundle", &path, "c"]);
        let line: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        // A descriptor of the caller that was forgotten: not close-on-exec.
        let script = format!("exec 7<>{path}/theirs; \"$@\" >/dev/null 2>&1");
        command = std::process::Command::new("sh");
        let status = command.args(["-c", &script, "sh"]).args(line).status().unwrap();
        assert!(status.success());
        let fds = fs::read_dir(format!("/proc/{}/fd", bundle.pid())).unwrap();
        let open: Vec<_> = fds.map(|fd| fs::read_link(fd.unwrap().path()).unwrap_or_default()).collect();
        assert!(!open.iter().any(|target| target.ends_with("theirs")), "{open:?}");
    });
}

#[test]
fn a_frozen_cgroup_is_refused_and_left_alone() {
    isolated(|| {
        let bundle = Bundle::new();
        let dir = bundle.cgroup.dir("freezer").join("c");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("freezer.state"), "FROZEN").unwrap();
        for _ in 0..2 {
            bundle.create().exits(1).says("container's cgroup unexpectedly frozen");
        }
        assert!(dir.is_dir());
        fs::remove_dir(&dir).unwrap();
    });
}

#[test]
fn a_tmpfs_has_the_mode_of_the_directory_below() {
    isolated(|| {
        use std::os::unix::fs::PermissionsExt;
        let bundle = Bundle::new()
            .script("stat -c %a /tmp /tmp/new /tmp/own")
            .mount(json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": "/tmp/new", "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": "/tmp/own", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1500"] }));
        fs::set_permissions(bundle.in_root("tmp"), fs::Permissions::from_mode(0o710)).unwrap();
        assert_eq!(bundle.run().ok(), "710\n1777\n1500");
    });
}

#[test]
fn a_source_in_the_root_has_what_was_mounted_there_before() {
    isolated(|| {
        let bundle = Bundle::new().script("cat /second/file");
        let (host, root) = (bundle.dir.join("host"), bundle.in_root(""));
        fs::create_dir(&host).unwrap();
        fs::write(host.join("file"), "deep\n").unwrap();
        let bundle = bundle
            .mount(json!({ "destination": "/first", "source": host, "options": ["bind"] }))
            .mount(json!({ "destination": root.join("second"), "source": root.join("first"), "options": ["rbind"] }));
        assert_eq!(bundle.run().ok(), "deep");
    });
}

#[test]
fn a_bind_mount_has_the_options_that_are_named_and_no_others() {
    isolated(|| {
        let bundle = Bundle::new().script("grep ' /v ' /proc/self/mounts");
        let volume = bundle.dir.join("volume");
        fs::create_dir(&volume).unwrap();
        let path = volume.to_str().unwrap();
        run(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "nodev,noexec", "none", path]))
            .ok();
        let mounted = |options: Value| {
            let bind = json!({ "destination": "/v", "source": path, "options": options });
            let mut spec = bundle.spec.clone();
            spec["mounts"].as_array_mut().unwrap().push(bind);
            fs::write(bundle.dir.join("config.json"), spec.to_string()).unwrap();
            bundle.runtime(&["run", "--bundle", bundle.dir.path().to_str().unwrap(), "c"]).ok().to_owned()
        };
        let kept = mounted(json!(["bind"]));
        assert!(kept.contains("nodev") && kept.contains("noexec"), "{kept}");
        let named = mounted(json!(["bind", "ro"]));
        assert!(named.contains(" ro,") && !named.contains("nodev") && !named.contains("noexec"), "{named}");
        run(std::process::Command::new("umount").arg(path)).ok();
    });
}

#[test]
fn memory_comes_from_the_nodes_of_the_policy() {
    isolated(|| {
        let bundle = Bundle::new().script("head -n 1 /proc/self/numa_maps").with(|spec| {
            spec["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0" });
        });
        let text = bundle.run().ok().to_owned();
        assert!(text.contains(" bind:0"), "{text}");
        let wrong = bundle.with(|spec| spec["linux"]["memoryPolicy"] = json!({ "mode": "BIND" }));
        wrong.run().exits(1).says("invalid memory policy mode");
    });
}

#[test]
fn a_pinned_caller_does_not_pin_the_container() {
    isolated(|| {
        let bundle = Bundle::new().script("grep Cpus_allowed_list /proc/self/status");
        let all = fs::read_to_string("/proc/self/status").unwrap();
        let all = all.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap().to_owned();
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap().to_owned();
        let command = bundle.command(&["run", "--bundle", &path, "c"]);
        let mut pinned = std::process::Command::new("taskset");
        pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
        assert_eq!(run(&mut pinned).ok().trim(), all);
    });
}

/// By the help of Debian's runc, which the engines' tests need, too.
#[test]
fn every_command_and_option_of_runc_is_known() {
    isolated(|| {
        let bundle = Bundle::new();
        let runc = |args: &[&str]| run(std::process::Command::new("runc").args(args)).ok().to_owned();
        let options = |help: &str| -> Vec<String> {
            let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
            // Before the column of explanations.
            let heads = lines.map(|line| line.split("  ").next().unwrap().to_owned());
            let words = heads.flat_map(|head| head.split([',', ' ']).map(str::to_owned).collect::<Vec<_>>());
            words.filter(|word| word.starts_with('-')).collect()
        };
        let help = runc(&["--help"]);
        let (_, commands) = help.split_once("COMMANDS:\n").unwrap();
        let commands = commands.split("\n\n").next().unwrap().lines();
        let mut commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
        commands.retain(|command| *command != "help,");
        assert!(commands.contains(&"checkpoint") && commands.len() > 15, "{commands:?}");
        let mut compared = 0;
        for command in commands.into_iter().map(Some).chain([None]) {
            let args: Vec<&str> = command.into_iter().chain(["--help"]).collect();
            let theirs = options(&runc(&args));
            compared += theirs.len();
            let ours = options(bundle.runtime(&args).ok());
            let global = |option: &str| command.is_none() && ["--version", "-v"].contains(&option);
            let missing: Vec<_> =
                theirs.iter().filter(|option| !ours.contains(option) && !global(option)).collect();
            assert!(missing.is_empty(), "{command:?}: {missing:?}");
        }
        assert!(compared > 100, "{compared} only");
        bundle.runtime(&["--version"]).ok();
        bundle.runtime(&["-v"]).ok();
    });
}

#[test]
fn under_another_name_it_answers_to_that() {
    isolated(|| {
        let bundle = Bundle::new();
        let link = bundle.dir.join("runc");
        std::os::unix::fs::symlink(bundle.command(&[]).get_program(), &link).unwrap();
        let version = run(std::process::Command::new(&link).arg("--version")).ok().to_owned();
        let lines: Vec<&str> = version.lines().collect();
        assert!(lines[0].starts_with("runc version "), "{version}");
        assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: 1.3"), "{version}");
        let help = run(std::process::Command::new(&link).args(["update", "-h"])).ok().to_owned();
        assert!(help.starts_with("NAME:\n   runc update - "), "{help}");
        run(std::process::Command::new(&link).args(["frob", "-h"])).exits(3).says("No help topic for 'frob'");
        run(std::process::Command::new(&link).args(["checkpoint", "c"]))
            .exits(1)
            .says("container does not exist");
    });
}

/// What the exec of the program says is the program's: nothing of the runtime's around it.
#[test]
fn an_exec_that_fails_says_so_in_bare_words() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["process"]["args"] = json!(["/run.sh"]));
        fs::write(bundle.in_root("run.sh"), "#!/mmnnttbb foo bar\nsh\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bundle.in_root("run.sh"), mode).unwrap();
        let said = bundle.run();
        assert_ne!(said.code, 0);
        assert_eq!(said.stderr.trim(), "exec /run.sh: no such file or directory");
        // A log has it as every other error.
        let (path, log) = (bundle.dir.path().to_str().unwrap(), bundle.dir.join("log"));
        bundle.runtime(&["--log", log.to_str().unwrap(), "run", "--bundle", path, "c"]);
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("level=error") && log.contains("exec /run.sh: no such file"), "{log}");
    });
}
