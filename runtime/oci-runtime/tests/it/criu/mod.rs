//! `checkpoint` and `restore`: against a stand-in that speaks CRIU's protocol and notes what it is
//! asked, and where the machine has a CRIU that can save a process of its kernel, against that, too.

mod real;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Output, isolated, run, wait_until};

use crate::bundle::{Bundle, lives, ns};

const SHORTLY: std::time::Duration = std::time::Duration::from_secs(10);

/// A bundle, and the stand-in.
struct Rig {
    bundle: Bundle,
    criu: PathBuf,
    plan: Value,
}

impl Rig {
    fn new(bundle: Bundle) -> Self {
        let criu = bundle.dir.join("stand-in");
        fs::write(&criu, include_str!("stand_in.py")).unwrap();
        fs::set_permissions(&criu, fs::Permissions::from_mode(0o755)).unwrap();
        bundle.write_config();
        Self { bundle, criu, plan: json!({}) }
    }

    /// What the stand-in shall say from now on.
    fn plans(&mut self, plan: Value) {
        self.plan = plan;
        let _ = fs::remove_file(self.notes_file());
    }

    fn notes_file(&self) -> PathBuf {
        self.bundle.dir.join("notes")
    }

    fn command(&self, args: &[&str]) -> Command {
        let criu = self.criu.display().to_string();
        let mut command = self.bundle.command(&[&["--criu", &criu], args].concat());
        command.current_dir(self.bundle.dir.path());
        command.env("CRIU_PLAN", self.plan.to_string()).env("CRIU_NOTES", self.notes_file());
        command
    }

    /// Runs a command whose process may outlive it: nothing of ours is held open.
    fn runs(&self, args: &[&str]) -> Output {
        let out = self.bundle.dir.join("said");
        let file = fs::File::create(&out).unwrap();
        let mut command = self.command(args);
        let code = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap().code();
        let said = fs::read_to_string(out).unwrap().replace("\\\"", "\"");
        let script = format!("cat >&2; exit {}", code.unwrap_or(-1));
        let mut echo = Command::new("sh");
        let said_file = self.bundle.dir.join("said.plain");
        fs::write(&said_file, said).unwrap();
        run(echo.args(["-c", &script]).stdin(fs::File::open(said_file).unwrap()))
    }

    fn notes(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.notes_file()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The request itself, and what was notified after it.
    fn asked(&self) -> (Value, Vec<String>) {
        let mut notes = self.notes();
        let request = notes.remove(0);
        let notified = notes.iter().map(|note| note["notify"].as_str().unwrap().to_owned());
        (request, notified.collect())
    }

    fn config(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.bundle.spec);
        self.bundle.write_config();
    }
}

fn running() -> Rig {
    let bundle = Bundle::new().script("sleep 1000; true");
    let volume = bundle.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "of the host").unwrap();
    let rig = Rig::new(bundle.mount(
        json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["rbind", "ro"] }),
    ));
    rig.bundle.start();
    rig
}

#[test]
fn rt_41_a_checkpoint_ends_the_container_and_a_restore_brings_it_back() {
    isolated(|| {
        let rig = running();
        let before = rig.bundle.pid();
        rig.runs(&["checkpoint", "c"]).ok();
        assert!(!lives(before));
        rig.bundle.runtime(&["state", "c"]).exits(1).says("container does not exist");
        rig.bundle.assert_nothing_left();
        rig.runs(&["restore", "-d", "--pid-file", "pid", "c"]).ok();
        let pid = rig.bundle.pid();
        assert_eq!(fs::read_to_string(rig.bundle.dir.join("pid")).unwrap(), pid.to_string());
        assert_eq!(rig.bundle.state()["status"], "running");
        assert!(lives(pid));
        // Our child as any other container's init: the runtime has ended, so that of PID 1.
        assert_eq!(sys::process::ProcStat::read(pid).unwrap().ppid, 1);
        let pids: Vec<i32> =
            serde_json::from_str(rig.bundle.runtime(&["ps", "-f", "json", "c"]).ok()).unwrap();
        assert_eq!(pids, [pid]);
        assert_eq!(rig.bundle.runtime(&["exec", "c", "cat", "/volume/file"]).ok(), "of the host");
        rig.bundle.runtime(&["pause", "c"]).ok();
        assert_eq!(rig.bundle.state()["status"], "paused");
        rig.bundle.runtime(&["resume", "c"]).ok();
        let stats: Value =
            serde_json::from_str(rig.bundle.runtime(&["events", "--stats", "c"]).ok()).unwrap();
        assert_eq!(stats["data"]["pids"]["current"], 1);
        assert_ne!(ns(&pid.to_string(), "pid"), ns("self", "pid"));
        rig.bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || rig.bundle.state()["status"] == "stopped"));
        rig.bundle.runtime(&["delete", "c"]).ok();
        rig.bundle.assert_nothing_left();
    });
}

#[test]
fn a_dump_is_asked_for_as_the_protocol_has_it() {
    isolated(|| {
        let mut rig = running();
        let pid = rig.bundle.pid();
        rig.config(|spec| spec["annotations"] = json!({ "org.criu.config": "/own.conf" }));
        fs::create_dir(rig.bundle.dir.join("earlier")).unwrap();
        let line = "checkpoint --image-path images --work-path work --parent-path ../earlier \
            --leave-running --tcp-established --tcp-skip-in-flight --link-remap --ext-unix-sk --shell-job \
            --file-locks --auto-dedup --empty-ns network --manage-cgroups-mode strict \
            --page-server 10.0.0.1:27 c";
        rig.runs(&line.split_whitespace().collect::<Vec<_>>()).ok();
        let (request, notified) = rig.asked();
        assert_eq!(request["kind"], 1);
        assert_eq!(notified, ["network-lock", "post-dump", "network-unlock"]);
        let options = &request["options"];
        for (name, value) in [
            ("pid", json!(pid)),
            ("root", json!(rig.bundle.in_root(""))),
            ("config_file", json!("/own.conf")),
            ("log_file", json!("dump.log")),
            ("parent_img", json!("../earlier")),
            ("manage_cgroups_mode", json!(5)),
            ("empty_ns", json!(0x4000_0000)),
            ("ps", json!(["10.0.0.1", 27])),
            ("freeze_cgroup", json!(rig.bundle.cgroup.dir("freezer").join("c"))),
        ] {
            let asked = options[name].as_str().map(|text| json!(text.trim_end_matches('/')));
            let value = value.as_str().map_or(value.clone(), |text| json!(text.trim_end_matches('/')));
            assert_eq!(asked.unwrap_or_else(|| options[name].clone()), value, "{name}");
        }
        for flag in [
            "leave_running",
            "tcp_established",
            "tcp_skip_in_flight",
            "link_remap",
            "ext_unix_sk",
            "shell_job",
            "file_locks",
            "auto_dedup",
            "track_mem",
            "notify_scripts",
            "manage_cgroups",
            "orphan_pts_master",
        ] {
            assert_eq!(options[flag], 1, "{flag}");
        }
        let mounts = options["ext_mnt"].as_array().unwrap();
        for mount in [
            json!(["/volume", "/volume"]),
            json!(["/proc/keys", "masked-file"]),
            json!(["/sys/firmware", "masked-directory"]),
        ] {
            assert!(mounts.contains(&mount), "{mount} in {mounts:?}");
        }
        assert!(rig.bundle.dir.join("work/dump.log").exists());
        assert_eq!(fs::read_to_string(rig.bundle.dir.join("images/descriptors.json")).unwrap(), "[]");
        assert_eq!((rig.bundle.pid(), lives(pid)), (pid, true));
    });
}

#[test]
fn a_restore_is_asked_for_as_the_protocol_has_it() {
    isolated(|| {
        let rig = running();
        rig.runs(&["checkpoint", "c"]).ok();
        let _ = fs::remove_file(rig.notes_file());
        let line = "restore -d --work-path work --manage-cgroups-mode ignore --tcp-established \
            --ext-unix-sk --shell-job --file-locks --auto-dedup --lsm-profile apparmor:x \
            --lsm-mount-context label c";
        rig.runs(&line.split_whitespace().collect::<Vec<_>>()).ok();
        let (request, notified) = rig.asked();
        assert_eq!(request["kind"], 2);
        assert_eq!(notified, ["setup-namespaces", "post-restore"]);
        let options = &request["options"];
        for (name, value) in [
            ("log_file", json!("restore.log")),
            ("config_file", json!("/etc/criu/runc.conf")),
            ("manage_cgroups_mode", json!(0)),
            ("lsm_profile", json!("apparmor:x")),
            ("lsm_mount_context", json!("label")),
            ("root", json!(rig.bundle.state_root().join("c/root"))),
        ] {
            assert_eq!(options[name], value, "{name}");
        }
        for flag in ["rst_sibling", "evasive_devices", "orphan_pts_master", "tcp_established", "file_locks"] {
            assert_eq!(options[flag], 1, "{flag}");
        }
        let mounts = options["ext_mnt"].as_array().unwrap();
        let state = rig.bundle.state_root().join("c");
        for mount in [
            json!(["/volume", state.join("sources/4")]),
            json!(["masked-file", state.join("sources/covers/f")]),
            json!(["masked-directory", state.join("sources/covers/d")]),
            json!(["/dev/null", state.join("sources/covers/f")]),
        ] {
            assert!(mounts.contains(&mount), "{mount} in {mounts:?}");
        }
        // CRIU is in the container's cgroups, so that what it restores is.
        let path = format!("{}/c", rig.bundle.cgroup.path());
        let roots = options["cg_root"].as_array().unwrap();
        for controller in ["memory", "pids", "freezer", "cpu"] {
            assert!(
                roots.iter().any(|root| root[0] == controller
                    && root[1].as_str().unwrap().ends_with(path.trim_start_matches('/'))),
                "{controller} in {roots:?}"
            );
        }
        assert!(
            request["cgroup"]
                .as_str()
                .unwrap()
                .lines()
                .any(|line| line.contains(":pids:") && line.ends_with(path.trim_start_matches('/')))
        );
        assert!(rig.bundle.dir.join("work/restore.log").exists());
        assert!(!state.join("root").exists() && !state.join("sources").exists());
    });
}

/// With a real CRIU: `rt_42_a_program_goes_on_where_it_was`.
#[test]
fn a_user_namespaces_root_reaches_what_a_restore_gives() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000; true").with_users(100_000);
        fs::set_permissions(bundle.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let volume = bundle.dir.join("volume");
        fs::create_dir(&volume).unwrap();
        let mut rig = Rig::new(bundle.mount(
            json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"] }),
        ));
        rig.bundle.start();
        rig.runs(&["checkpoint", "c"]).ok();
        rig.plans(json!({ "user": 100_000 }));
        rig.runs(&["restore", "-d", "c"]).ok();
        let (request, _) = rig.asked();
        let mounts = request["options"]["ext_mnt"].as_array().unwrap();
        let given = |name: &str| -> Vec<&str> {
            mounts.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
        };
        let volume = given("/volume")[0];
        let sources = PathBuf::from(volume).parent().unwrap().to_owned();
        assert!(volume.starts_with("/run/strake-restore-"), "{volume}");
        assert_eq!(given("masked-file"), [sources.join("covers/f").to_str().unwrap()]);
        // The device, not a cover, though others call covers so.
        assert_eq!(given("/dev/null"), ["/dev/null"]);
        assert!(!sources.exists() && !rig.bundle.state_root().join("c/root").exists());
        // What was shown of the images was a view: the log went to the directory itself.
        assert!(rig.bundle.dir.join("checkpoint/restore.log").exists());
    });
}

#[test]
fn an_idmapped_mount_is_restored_with_its_map() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000; true");
        let volume = bundle.dir.join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("file"), "").unwrap();
        let map = json!([{ "containerID": 0, "hostID": 5000, "size": 1000 }]);
        let rig = Rig::new(bundle.mount(json!({ "destination": "/volume", "type": "bind", "source": volume,
            "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map })));
        let made = rig.bundle.create();
        if made.code != 0 && made.stderr.contains("idmapped") {
            // The file system of the temporary directory decides.
            return;
        }
        made.ok();
        rig.bundle.runtime(&["start", "c"]).ok();
        let owner = || rig.bundle.runtime(&["exec", "c", "stat", "-c", "%u", "/volume/file"]);
        assert_eq!(owner().ok(), "5000");
        rig.runs(&["checkpoint", "c"]).ok();
        rig.runs(&["restore", "-d", "c"]).ok();
        assert_eq!(owner().ok(), "5000");
    });
}

#[test]
fn pipes_from_outside_are_exchanged_for_those_of_the_restore() {
    isolated(|| {
        let rig = Rig::new(Bundle::new().script("sleep 1000; true"));
        let line = |command: &str| {
            let args: Vec<String> =
                rig.command(&[]).get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
            let runtime = testkit::bin("strake-runtime");
            format!("true | {} {} {command} | cat >/dev/null", runtime.display(), args.join(" "))
        };
        let shell = |command: &str| {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("set -o pipefail; {}", line(command))]);
            shell.current_dir(rig.bundle.dir.path());
            shell.env("CRIU_PLAN", "{}").env("CRIU_NOTES", rig.notes_file());
            shell.stderr(std::process::Stdio::null()).spawn().unwrap()
        };
        let wait_for = |status: &str| {
            assert!(wait_until(SHORTLY, || {
                let state = run(&mut rig.bundle.command(&["state", "c"])).stdout;
                serde_json::from_str::<Value>(&state).is_ok_and(|state| state["status"] == status)
            }));
        };
        let mut first = shell("run -d c");
        wait_for("running");
        rig.runs(&["checkpoint", "c"]).ok();
        assert!(first.wait().unwrap().success());
        let names: Vec<String> =
            serde_json::from_slice(&fs::read(rig.bundle.dir.join("checkpoint/descriptors.json")).unwrap())
                .unwrap();
        assert!(names[0].starts_with("pipe:[") && names[1].starts_with("pipe:[") && names[2].is_empty());
        let _ = fs::remove_file(rig.notes_file());
        let mut second = shell("restore -d c");
        wait_for("running");
        let (request, _) = rig.asked();
        assert_eq!(request["options"]["inherit_fd"], json!([[names[0], 0], [names[1], 1]]));
        let now = |fd: &str| request["fds"][fd].as_str().unwrap().to_owned();
        assert!(now("0").starts_with("pipe:[") && now("0") != names[0]);
        assert!(now("1").starts_with("pipe:[") && now("1") != names[1]);
        rig.bundle.runtime(&["delete", "--force", "c"]).ok();
        // CRIU may have been in the cgroup still, and have ended with it.
        second.wait().unwrap();
    });
}

#[test]
fn namespaces_of_others_stay_theirs() {
    isolated(|| {
        let mut holder = Command::new("unshare").args(["--net", "--ipc", "sleep", "1000"]).spawn().unwrap();
        let of = |kind: &str| format!("/proc/{}/ns/{kind}", holder.id());
        assert!(
            wait_until(SHORTLY, || fs::read_link(of("ipc")).ok() != fs::read_link("/proc/self/ns/ipc").ok())
        );
        let rig = Rig::new(Bundle::new().script("sleep 1000; true").with(|spec| {
            for entry in spec["linux"]["namespaces"].as_array_mut().unwrap() {
                match entry["type"].as_str().unwrap() {
                    "network" => entry["path"] = json!(of("net")),
                    "ipc" => entry["path"] = json!(of("ipc")),
                    _ => {}
                }
            }
        }));
        rig.bundle.start();
        rig.runs(&["checkpoint", "c"]).ok();
        let link = fs::read_link(of("net")).unwrap().display().to_string();
        let inode = link.trim_start_matches("net:").to_owned();
        assert_eq!(rig.asked().0["options"]["external"], json!([format!("net{inode}:extRootNetNS")]));
        let _ = fs::remove_file(rig.notes_file());
        rig.runs(&["restore", "-d", "c"]).ok();
        let (request, _) = rig.asked();
        let inherited = &request["options"]["inherit_fd"][0];
        assert_eq!(inherited[0], "extRootNetNS");
        assert_eq!(request["fds"][inherited[1].to_string()], link);
        assert_eq!(request["options"]["join_ns"], json!([["ipc", of("ipc")]]));
        rig.bundle.runtime(&["delete", "--force", "c"]).ok();
        holder.kill().unwrap();
        holder.wait().unwrap();
    });
}

#[test]
fn a_failed_checkpoint_says_why_and_the_container_goes_on() {
    isolated(|| {
        let mut rig = running();
        let log = "(00.1) Error (criu/tun.c:85): odd\n(00.2) Error (criu/x.c:7): Can't look\n\
            (00.3) Error (criu/cr-dump.c:1): Dumping FAILED.\n";
        rig.plans(json!({ "errno": 22, "log": log }));
        rig.runs(&["checkpoint", "--image-path", "images", "c"])
            .exits(1)
            .says(
                "criu failed: type DUMP errno 22: odd (criu/tun.c:85): Can't look (criu/x.c:7); see its log",
            )
            .says("images/dump.log");
        rig.plans(json!({ "dies": true }));
        rig.runs(&["checkpoint", "c"]).exits(1).says("CRIU ended without an answer (killed by SIGKILL)");
        rig.plans(json!({ "version": [2, 12] }));
        rig.runs(&["checkpoint", "c"]).exits(1).says("CRIU 2.12 is too old");
        rig.plans(json!({ "features": false }));
        rig.runs(&["checkpoint", "--pre-dump", "c"]).exits(1).says("missing features: memory tracking");
        rig.runs(&["checkpoint", "--lazy-pages", "c"]).exits(1).says("missing features: user faults");
        rig.plans(json!({}));
        rig.runs(&["checkpoint", "--parent-path", "/x", "c"]).exits(1).says("--parent-path");
        rig.runs(&["checkpoint", "--parent-path", "./x", "c"]).exits(1).says("invalid --parent-path");
        rig.runs(&["checkpoint", "--empty-ns", "pid", "c"])
            .exits(1)
            .says("namespace \"pid\" is not supported");
        rig.runs(&["checkpoint", "--manage-cgroups-mode", "x", "c"]).exits(1).says("manage-cgroups-mode");
        rig.runs(&["checkpoint", "--status-fd", "999", "c"])
            .exits(1)
            .says("invalid --status-fd argument 999");
        rig.runs(&["checkpoint", "--page-server", "x", "c"]).exits(1).says("is not ADDRESS:PORT");
        rig.bundle.runtime(&["--criu", "/nonexistent", "checkpoint", "c"]).exits(1).says("start CRIU");
        let mut command = rig.bundle.command(&["checkpoint", "c"]);
        run(command.env("PATH", "/nonexistent")).exits(1).says("executable file not found in $PATH");
        assert_eq!(rig.bundle.state()["status"], "running");
        rig.bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert!(wait_until(SHORTLY, || rig.bundle.state()["status"] == "stopped"));
        rig.runs(&["checkpoint", "c"]).exits(1).says("container cannot be checkpointed in stopped state");
    });
}

#[test]
fn a_failed_restore_leaves_nothing() {
    isolated(|| {
        let mut rig = running();
        rig.runs(&["restore", "-d", "c"]).exits(1).says("open the directory");
        rig.runs(&["checkpoint", "c"]).ok();
        rig.runs(&["restore", "-d", "--image-path", "nowhere", "c"]).exits(1).says("open the directory");
        rig.plans(json!({ "errno": 1, "log": "(00.1) Error (criu/y.c:9): Can't make\n" }));
        rig.runs(&["restore", "-d", "c"])
            .exits(1)
            .says("criu failed: type RESTORE errno 1: Can't make (criu/y.c:9); see its log");
        rig.bundle.assert_nothing_left();
        rig.plans(json!({ "dies": true }));
        rig.runs(&["restore", "-d", "c"]).exits(1).says("CRIU ended without an answer");
        rig.bundle.assert_nothing_left();
        rig.plans(json!({ "version": [3, 15] }));
        rig.runs(&["restore", "-d", "--lsm-profile", "x:y", "c"]).exits(1).says("too old for --lsm-profile");
        rig.bundle.assert_nothing_left();
        // A hook that fails is a failure of the restore, and its processes are gone.
        rig.plans(json!({}));
        rig.config(|spec| {
            spec["hooks"] = json!({ "createRuntime": [{ "path": "/bin/false" }] });
        });
        rig.runs(&["restore", "-d", "c"]).exits(1).says("createRuntime hook #0");
        rig.bundle.assert_nothing_left();
        rig.config(|spec| spec["hooks"] = json!({}));
        rig.runs(&["restore", "-d", "c"]).ok();
        rig.runs(&["restore", "-d", "c"]).exits(1).says("already exists");
        assert_eq!(rig.bundle.state()["status"], "running");
    });
}

#[test]
fn a_restore_in_the_foreground_ends_with_the_container() {
    isolated(|| {
        let rig = running();
        rig.runs(&["checkpoint", "c"]).ok();
        let mut restore = rig.command(&["restore", "c"]).spawn().unwrap();
        assert!(wait_until(SHORTLY, || {
            let state = run(&mut rig.bundle.command(&["state", "c"])).stdout;
            serde_json::from_str::<Value>(&state).is_ok_and(|state| state["status"] == "running")
        }));
        rig.bundle.runtime(&["kill", "c", "KILL"]).ok();
        assert_eq!(restore.wait().unwrap().code(), Some(137));
        rig.bundle.assert_nothing_left();
    });
}

#[test]
fn a_pre_dump_and_the_server_of_pages_are_told_of() {
    isolated(|| {
        let rig = running();
        rig.runs(&["checkpoint", "--pre-dump", "--image-path", "parent", "c"]).ok();
        let (request, _) = rig.asked();
        assert_eq!(request["kind"], 4);
        assert!(request["options"]["ext_mnt"].is_null());
        assert!(!rig.bundle.dir.join("parent/descriptors.json").exists());
        assert_eq!(rig.bundle.state()["status"], "running");
        let command = rig.command(&["checkpoint", "--lazy-pages", "--status-fd", "7", "c"]);
        let args: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap()).collect();
        let status = rig.bundle.dir.join("status");
        let line = format!("{} {} 7>{}", command.get_program().display(), args.join(" "), status.display());
        let mut shell = Command::new("sh");
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap());
        }
        run(shell.args(["-c", &line]).current_dir(rig.bundle.dir.path())).ok();
        assert_eq!(fs::read(&status).unwrap(), [0]);
    });
}

#[test]
fn a_restored_terminal_goes_over_the_console_socket() {
    isolated(|| {
        let mut rig = running();
        rig.runs(&["checkpoint", "c"]).ok();
        rig.config(|spec| spec["process"]["terminal"] = json!(true));
        rig.plans(json!({ "terminal": true }));
        rig.runs(&["restore", "-d", "c"]).exits(1).says("cannot allocate tty");
        let path = rig.bundle.dir.join("console.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rig.runs(&["restore", "-d", "--console-socket", path.to_str().unwrap(), "c"]).ok();
        let (stream, _) = listener.accept().unwrap();
        let (_, fds) = sys::fdpass::receive(&stream, &mut [0; 64], 1).unwrap();
        assert!(sys::tty::is_terminal(&fds[0]));
        assert_eq!(rig.asked().1, ["setup-namespaces", "orphan-pts-master", "post-restore"]);
    });
}
