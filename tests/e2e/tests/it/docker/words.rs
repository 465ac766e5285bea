//! Command lines as docker's parser reads them, exit codes, and what says what is here.

use serde_json::Value;
use testkit::{Strake, isolated, wait_for};

use crate::{inspect, sleeper};

#[test]
fn flags_take_values_and_the_last_word_counts() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = |options: &[&str], command: &[&str]| {
            strake.ok(&[&["run", "--network", "none"], options, &["busybox"], command].concat())
        };
        run(&["--rm", "--rm=false", "--name", "gone", "--name=kept", "-it=false", "-d=F"], &["true"]);
        assert_eq!(strake.ok(&["ps", "-a=true", "--format", "{{.Names}}"]), "kept");
        assert_eq!(strake.ok(&["rm", "-f=true", "kept"]), "kept");
        assert_eq!(
            run(&["--rm", "--rm=1", "-e", "-A=1"], &["env"]).lines().filter(|l| *l == "-A=1").count(),
            1
        );
        let empty = [
            "--stop-signal=",
            "--ip=",
            "--platform=",
            "--workdir=",
            "--mac-address=",
            "--cidfile=",
            "--cpuset-cpus=",
            "--health-cmd=",
            "--user=",
            "--hostname=",
        ];
        assert_eq!(run(&[&["--rm"], &empty[..]].concat(), &["pwd"]), "/");
        sleeper(&strake, "web", &["--network", "none", "-m", "64m", "-m", "128m", "-l", "-x=1"]);
        let seen = inspect(&strake, "web");
        assert_eq!(seen["HostConfig"]["Memory"], 128 << 20);
        assert_eq!(seen["Config"]["Labels"]["-x"], "1");
        assert_eq!(strake.ok(&["exec", "-w", "", "-e", "-X=1", "--tty=false", "web", "pwd"]), "/");
        strake.ok(&["commit", "-m", "- a note", "--pause=0", "web", "noted"]);
        assert_eq!(strake.ok(&["inspect", "-f", "{{.Comment}}", "noted"]), "- a note");
        let wrong =
            "invalid argument \"x\" for \"--rm\" flag: strconv.ParseBool: parsing \"x\": invalid syntax";
        strake.run(&["run", "--rm=x", "busybox"]).exits(125).says(wrong);
    });
}

#[test]
fn failures_have_dockers_exit_codes() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none"]);
        let table: &[(&[&str], i32, &str)] = &[
            (&["create", "--name", "web", "busybox"], 1, "web"),
            (&["create", "-m", "1m", "busybox"], 1, "6"),
            (&["create", "--pull", "never", "nosuch:1"], 1, "nosuch:1"),
            (&["create", "-m", "lots", "busybox"], 125, "lots"),
            (&["create", "--name=-x", "busybox"], 1, "Invalid container name (-x)"),
            (&["run", "--network", "nosuch", "busybox"], 125, "strake: network nosuch not found"),
            (&["run", "--platform", "bogus", "busybox"], 125, "bogus"),
            (&["exec", "-u", "nosuch", "web", "true"], 126, "nosuch"),
            (&["exec", "-w", "/nosuch", "web", "true"], 126, "/nosuch"),
            (&["exec", "web", "/nosuch"], 127, "/nosuch"),
            (&["exec", "ghost", "true"], 1, "ghost"),
            (&["rm", "-f", "ghost"], 0, "no such container: ghost"),
            (&["container", "remove", "ghost"], 1, "no such container: ghost"),
            (&["cp", "web:", "/tmp"], 1, "path cannot be empty"),
            (&["export", "-o", "/nosuch/x", "web"], 1, "directory \"/nosuch\" does not exist"),
            (&["network", "create", "--config-only", "x"], 1, "--config-only cannot be done"),
        ];
        for (words, code, says) in table {
            let said = strake.run(words);
            assert_eq!(said.exits(*code).says(says).stdout, "", "{words:?}");
        }
        strake.ok(&["rm", "-f", "web"]);
        strake.run(&["ps", "--format", "{{.Nope}}"]).exits(1).says("Nope");
        assert_eq!(strake.ok(&["ps", "--format", "{{.Names}} {{.Label \"a\"}}"]), "");
    });
}

#[test]
fn version_and_info_say_what_is_here() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let version = strake.ok(&["version", "--format", "{{.Server.Version}}"]);
        assert_eq!(strake.ok(&["-v"]), format!("strake {version}"));
        assert!(strake.ok(&["version"]).starts_with("Client:\n"));
        sleeper(&strake, "web", &["--network", "none"]);
        strake.ok(&["create", "--name", "other", "busybox"]);
        strake.ok(&["pause", "web"]);
        let counts =
            "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}";
        assert_eq!(strake.ok(&["info", "--format", counts]), "2 0 1 1 1");
        strake.ok(&["unpause", "web"]);
        let info: Value = serde_json::from_str(&strake.ok(&["system", "info", "-f", "json"])).unwrap();
        assert_eq!(info["ContainersRunning"], 1);
        assert_eq!(info["OSType"], "linux");
        assert!(info["MemTotal"].as_u64().unwrap() > 0);
        assert!(strake.ok(&["info"]).contains("\n Containers: 2\n  Running: 1\n"));
        let df: Value =
            serde_json::from_str(&strake.ok(&["system", "df", "-v", "--format", "json"])).unwrap();
        assert_eq!(df["Containers"].as_array().unwrap().len(), 2);
        assert_eq!(df["Images"][0]["Repository"], "busybox");
        strake.ok(&["volume", "create", "data"]);
        for (noun, name) in [("volume", "data"), ("image", "busybox"), ("network", "none")] {
            let shown = strake.ok(&[noun, "inspect", "-f", "{{json .}}", name]);
            assert!(!shown.contains("SizeRw"), "{shown}");
        }
    });
}

#[test]
fn what_only_names_a_place_gives_way() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let kind = |options: &[&str]| {
            let script = "grep ' /a ' /proc/mounts | cut -d' ' -f3,4";
            let head = ["run", "--rm", "--network", "none"];
            strake.ok(&[&head, options, &["busybox", "sh", "-c", script]].concat())
        };
        assert!(kind(&["--tmpfs", "/a", "--tmpfs", "/a:size=64k"]).contains("size=64k"));
        assert!(kind(&["-v", "/a", "--tmpfs", "/a"]).starts_with("tmpfs"));
        assert_eq!(strake.ok(&["volume", "ls", "-q"]), "", "no volume was made for it");
        let twice = ["run", "--rm", "-v", "one:/a", "--tmpfs", "/a", "busybox", "true"];
        strake.run(&twice).exits(125).says("Duplicate mount point: /a");
    });
}

#[test]
fn addresses_of_somebody_else_are_not_given() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let range = ["--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.128/25", "--ipv4", "--ipam-opt", "a=b"];
        strake
            .ok(&[&["network", "create", "--aux-address", "host=10.9.0.129"], &range[..], &["lab"]].concat());
        let shown = strake.ok(&["network", "inspect", "-f", "{{json .IPAM.Config}}", "lab"]);
        assert!(shown.contains("\"AuxiliaryAddresses\":{\"host\":\"10.9.0.129\"}"), "{shown}");
        let address = "{{.NetworkSettings.Networks.lab.IPAddress}}";
        let given = ["first", "second"].map(|name| {
            sleeper(&strake, name, &["--network", "lab"]);
            strake.ok(&["inspect", "-f", address, name])
        });
        assert_eq!(given, ["10.9.0.128", "10.9.0.130"]);
        let wish = ["run", "--rm", "--network", "lab", "--ip", "10.9.0.129", "busybox", "true"];
        strake.run(&wish).exits(125).says("10.9.0.129");
    });
}

#[test]
fn restart_asks_with_the_signal_given() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "trap 'echo asked; exit 0' USR1; echo ready; while :; do sleep 0.1; done";
        strake.ok(&["run", "-d", "--name", "web", "--network", "none", "busybox", "sh", "-c", script]);
        let logged = |what: &str| strake.ok(&["logs", "web"]).contains(what).then_some(());
        wait_for("the trap", || logged("ready"));
        strake.ok(&["restart", "-s", "USR1", "web"]);
        assert!(logged("asked").is_some());
    });
}
