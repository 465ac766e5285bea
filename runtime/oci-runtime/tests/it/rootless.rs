//! Without root, in all its forms: one id, many ids by the helpers, no right to cgroups. A delegated v2
//! subtree needs a kernel with v2: `tests/guest`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{Output, isolated, run, wait_for};

use crate::bundle::Bundle;

const USER: u32 = 1000;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A bundle that belongs to an ordinary user, with a runtime that he can reach.
struct Rootless(Bundle);

impl Rootless {
    fn new() -> Self {
        let rootless = Self(Bundle::new());
        let dir = rootless.path();
        fs::copy(testkit::bin("strake-runtime"), format!("{dir}/strake-runtime")).unwrap();
        fs::set_permissions(format!("{dir}/strake-runtime"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(format!("{dir}/run")).unwrap();
        rootless.own();
        rootless.runtime(&["spec", "--rootless", "--bundle", &dir]).ok();
        rootless
    }

    fn path(&self) -> String {
        self.0.dir.path().to_str().unwrap().to_owned()
    }

    fn own(&self) {
        let dir = self.path();
        chown(&dir, Some(USER), Some(USER)).unwrap();
        run(Command::new("chown").args(["-R", &format!("{USER}:{USER}"), &dir])).ok();
    }

    fn command(&self, args: &[&str]) -> Command {
        let dir = self.path();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all", "--"]);
        command.arg(format!("{dir}/strake-runtime")).args(args).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", format!("{dir}/run")).env("HOME", &dir);
        command
    }

    fn runtime(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// The example for users, changed.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = Path::new(&self.path()).join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        change(&mut spec);
        fs::write(path, spec.to_string()).unwrap();
    }

    fn run(&self) -> Output {
        self.runtime(&["run", "--bundle", &self.path(), "c"])
    }
}

fn script(spec: &mut Value, script: &str) {
    spec["process"]["args"] = json!(["/bin/sh", "-c", script]);
    spec["process"]["env"] = json!(["PATH=/bin"]);
}

fn many(spec: &mut Value) {
    let maps = json!([{ "containerID": 0, "hostID": USER, "size": 1 },
        { "containerID": 1, "hostID": 100_000, "size": 65_536 }]);
    (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (maps.clone(), maps);
}

#[test]
fn a_user_with_one_id_runs_the_example() {
    isolated(|| {
        let rootless = Rootless::new();
        rootless.change(|spec| {
            script(spec, "id -u; cat /proc/self/uid_map /proc/self/setgroups; echo x > /dev/null");
        });
        let said = rootless.run();
        let words: Vec<&str> = said.ok().split_whitespace().collect();
        assert_eq!(words, ["0", "0", "1000", "1", "deny"]);
        // His state is his, and is not cleaned up as forgotten.
        let state = Path::new(&rootless.path()).join("run/strake-runtime");
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o7777, 0o1700);
        assert_eq!(fs::read_dir(state).unwrap().count(), 0);
        rootless.change(|spec| spec["process"]["user"]["uid"] = json!(7));
        rootless.run().exits(1).says("uidMappings and gidMappings do not cover it");
    });
}

#[test]
fn a_user_execs_lists_and_kills() {
    isolated(|| {
        let rootless = Rootless::new();
        rootless.change(|spec| script(spec, "exec sleep 1000"));
        let path = rootless.path();
        let log = format!("{path}/log");
        let mut detached = rootless.command(&["--log", &log, "run", "--detach", "--bundle", &path, "c"]);
        let started = detached.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(started.success(), "{}", fs::read_to_string(log).unwrap());
        assert_eq!(rootless.runtime(&["exec", "c", "/bin/id", "-u"]).ok(), "0");
        assert!(rootless.runtime(&["list", "--quiet"]).ok() == "c");
        rootless.runtime(&["kill", "c", "KILL"]).ok();
        rootless.runtime(&["delete", "--force", "c"]).ok();
        assert_eq!(rootless.runtime(&["list", "--format", "json"]).ok(), "null");
    });
}

/// The helpers are set-uid programs of the machine. Here they hand their arguments to the test, which
/// is root and does what they do.
#[test]
fn many_ids_are_mapped_by_the_helpers() {
    isolated(|| {
        let rootless = Rootless::new();
        let dir = rootless.path();
        fs::create_dir(format!("{dir}/bin")).unwrap();
        for program in ["newuidmap", "newgidmap"] {
            let path = format!("{dir}/bin/{program}");
            let script = "#!/bin/sh\necho \"$@\" > \"$0.asked.new\"; mv \"$0.asked.new\" \"$0.asked\"\n\
                while [ ! -e \"$0.done\" ]; do sleep 0.01; done\n";
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        rootless.own();
        rootless.change(|spec| {
            script(spec, "id -u; cat /proc/self/uid_map /proc/self/gid_map");
            many(spec);
            spec["process"]["user"]["uid"] = json!(7);
        });
        let path = format!("{dir}/bin:{}", PATH);
        let run = rootless
            .command(&["run", "--bundle", &dir, "c"])
            .env("PATH", path)
            .stdout(Stdio::piped())
            .spawn();
        for (program, file) in [("newuidmap", "uid_map"), ("newgidmap", "gid_map")] {
            let asked = format!("{dir}/bin/{program}.asked");
            let asked = wait_for(program, || fs::read_to_string(&asked).ok());
            let words: Vec<&str> = asked.split_whitespace().collect();
            assert_eq!(words[1..], ["0", "1000", "1", "1", "100000", "65536"], "{program}");
            let map = words[1..].chunks(3).map(|range| range.join(" ") + "\n").collect::<String>();
            fs::write(format!("/proc/{}/{file}", words[0]), map).unwrap();
            fs::write(format!("{dir}/bin/{program}.done"), "").unwrap();
        }
        let output = run.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        let map = ["0", "1000", "1", "1", "100000", "65536"];
        assert_eq!(words, [&["7"][..], &map, &map].concat());
        // A user whom the helpers refuse is told what they said, and nothing is left.
        fs::write(format!("{dir}/bin/newuidmap"), "#!/bin/sh\necho 'range is not allowed' >&2; exit 1\n")
            .unwrap();
        let path = format!("{dir}/bin:{}", PATH);
        let refused = testkit::run(rootless.command(&["run", "--bundle", &dir, "d"]).env("PATH", path));
        refused.exits(1).says("by newuidmap: range is not allowed");
        assert_eq!(rootless.runtime(&["list", "--quiet"]).ok(), "");
    });
}

#[test]
fn without_the_helpers_many_ids_are_refused() {
    isolated(|| {
        let rootless = Rootless::new();
        rootless.change(many);
        let dir = rootless.path();
        let setpriv = run(Command::new("sh").args(["-c", "command -v setpriv"])).ok().to_owned();
        let mut command = Command::new(setpriv);
        let template = rootless.command(&["run", "--bundle", &dir, "c"]);
        command
            .args(template.get_args())
            .env("PATH", "/nonexistent")
            .env("XDG_RUNTIME_DIR", format!("{dir}/run"));
        run(&mut command).exits(1).says("newuidmap: it is not installed");
    });
}

#[test]
fn cg_14_without_rights_to_cgroups_limits_are_refused_and_no_limits_are_fine() {
    isolated(|| {
        let rootless = Rootless::new();
        rootless.change(|spec| {
            script(spec, "true");
            spec["linux"]["resources"] = json!({ "pids": { "limit": 20 } });
        });
        rootless
            .run()
            .exits(1)
            .says("rootless needs no limits + no cgrouppath when no permission is granted");
        rootless.change(|spec| {
            spec["linux"]["cgroupsPath"] = json!("/not-his/c");
            spec["linux"].as_object_mut().unwrap().remove("resources");
        });
        let said = rootless.run();
        said.exits(1).says("unable to apply cgroup configuration").says("ermission denied");
        rootless.change(|spec| drop(spec["linux"].as_object_mut().unwrap().remove("cgroupsPath")));
        rootless.run().ok();
    });
}
