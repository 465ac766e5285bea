//! `run`'s flags: each shown by what the kernel says inside, in `inspect`, or refused in docker's words.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use testkit::{Strake, isolated};

use crate::{inspect, sleeper};

/// What `sh -c SCRIPT` says in a container with these flags.
fn inside(strake: &Strake, flags: &[&str], script: &str) -> String {
    let command = ["busybox", "sh", "-c", script];
    strake.ok(&[&["run", "--rm", "--network", "none"], flags, &command].concat())
}

#[test]
fn limits_are_what_the_kernel_says() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // A file of cgroup v1, or what v2 has instead.
        let group =
            |v1: &str, v2: &str| format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
        let table: &[(&[&str], String, &str)] = &[
            (&["--shm-size", "32m"], "df -k /dev/shm | awk 'END{print $2}'".into(), "32768"),
            (&["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn".into(), "100\n200"),
            (&["--ulimit", "core=0"], "ulimit -c".into(), "0"),
            (&["--oom-score-adj", "100"], "cat /proc/self/oom_score_adj".into(), "100"),
            (
                &["-m", "64m", "--memory-reservation", "32m"],
                group("memory/memory.soft_limit_in_bytes", "memory.low"),
                "33554432",
            ),
            (&["-m", "64m"], group("memory/memory.limit_in_bytes", "memory.max"), "67108864"),
            (&["-c", "512"], group("cpu/cpu.shares", "cpu.weight"), "512"),
            (
                &["--cpu-period", "50000", "--cpu-quota", "25000"],
                "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || \
                 tr ' ' '\\n' < /sys/fs/cgroup/cpu.max"
                    .into(),
                "25000\n50000",
            ),
            (
                &["--cpuset-cpus", "0", "--cpuset-mems", "0"],
                "awk '/_allowed_list/{print $2}' /proc/self/status".into(),
                "0\n0",
            ),
            (&["--pids-limit", "33"], group("pids/pids.max", "pids.max"), "33"),
            (&["--group-add", "1234"], "id -G".into(), "0 1234"),
            (&["--domainname", "corp"], "cat /proc/sys/kernel/domainname".into(), "corp"),
            (&["--sysctl", "net.core.somaxconn=77"], "cat /proc/sys/net/core/somaxconn".into(), "77"),
            (&["--read-only"], "touch /x 2>/dev/null || echo refused".into(), "refused"),
            (&["--init"], "tr '\\0' ' ' < /proc/1/cmdline | cut -d' ' -f1".into(), "/sbin/docker-init"),
        ];
        for (flags, script, expected) in table {
            assert_eq!(inside(&strake, flags, script), *expected, "{flags:?}");
        }
        // Where the kernel counts swap.
        let swap = "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes";
        if std::path::Path::new(swap).exists() {
            let flags = ["-m", "64m", "--memory-swap", "96m", "--memory-swappiness", "10"];
            let files = format!("cat {swap} /sys/fs/cgroup/memory/memory.swappiness");
            assert_eq!(inside(&strake, &flags, &files), "100663296\n10");
            let flags = ["-m", "64m", "--oom-kill-disable"];
            let file = "grep oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control";
            assert_eq!(inside(&strake, &flags, file), "oom_kill_disable 1");
        }
    });
}

#[test]
fn devices_are_made_and_fenced() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let node = strake.home().join("fuse");
        testkit::run(std::process::Command::new("mknod").arg(&node).args(["c", "10", "229"])).ok();
        let flag = format!("{}:/dev/ours:r", node.display());
        let script = "test -c /dev/ours && (: < /dev/ours) 2>&1 | grep -c 'not permitted'; \
                      (: > /dev/ours) 2>&1 | grep -c 'not permitted'; true";
        assert_eq!(inside(&strake, &["--device", &flag], script), "0\n1", "read, not written");
        // All devices of a directory.
        let many = strake.home().join("many");
        std::fs::create_dir(&many).unwrap();
        for (name, minor) in [("zero", "5"), ("full", "7")] {
            let node = many.join(name);
            testkit::run(std::process::Command::new("mknod").arg(&node).args(["c", "1", minor])).ok();
        }
        let flag = format!("{}:/dev/many", many.display());
        assert_eq!(inside(&strake, &["--device", &flag], "ls /dev/many"), "full\nzero");
        // A rule lets it be opened, whether or not it is there; one that reads does not write.
        for (rule, denied) in [("c 10:229 rw", "0\n0"), ("c 10:229 r", "0\n1"), ("c 10:228 rw", "1\n1")] {
            let script = "mknod /ours c 10 229; (: < /ours) 2>&1 | grep -c 'not permitted'; \
                          (: > /ours) 2>&1 | grep -c 'not permitted'; true";
            let flags = ["--device-cgroup-rule", rule, "--cap-add", "MKNOD"];
            assert_eq!(inside(&strake, &flags, script), denied, "{rule}");
        }
        // Limits of block devices, where the machine has one.
        if std::path::Path::new("/dev/vda").exists() && std::path::Path::new("/sys/fs/cgroup/blkio").exists()
        {
            let flags = "--device-read-bps /dev/vda:1mb --device-write-bps /dev/vda:2mb \
                         --device-read-iops /dev/vda:200 --device-write-iops /dev/vda:300";
            let flags: Vec<&str> = flags.split_whitespace().collect();
            let files = "cd /sys/fs/cgroup/blkio; cat blkio.throttle.read_bps_device \
                         blkio.throttle.write_bps_device blkio.throttle.read_iops_device \
                         blkio.throttle.write_iops_device";
            let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata("/dev/vda").unwrap());
            let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
            let rates = ["1048576", "2097152", "200", "300"].map(|rate| format!("{number} {rate}"));
            assert_eq!(inside(&strake, &flags, files), rates.join("\n"));
        }
    });
}

#[test]
fn a_group_is_made_below_the_parent_that_was_chosen() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // The last word counts: the first is the one that this test gives to each.
        let parent = format!("{}/of-a-team", strake.cgroup().path());
        sleeper(&strake, "web", &["--network", "none", "--cgroup-parent", &parent, "-m", "64m"]);
        let seen = inspect(&strake, "web");
        assert_eq!(seen["HostConfig"]["CgroupParent"], parent.as_str());
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", seen["State"]["Pid"])).unwrap();
        let own = format!(":{parent}/{}", seen["Id"].as_str().unwrap());
        let of_memory =
            groups.lines().find(|line| line.contains(":memory:") || line.starts_with("0::/strake"));
        assert!(of_memory.is_some_and(|line| line.ends_with(&own)), "{own}: {groups}");
        strake.ok(&["rm", "-f", "web"]);
    });
}

#[test]
fn tmpfs_has_its_size_and_mode() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script =
            "df -k /t | awk 'END{print $2}'; stat -c %a /t; grep ' /t ' /proc/mounts | cut -d' ' -f4";
        let said = inside(&strake, &["--tmpfs", "/t:size=64k,mode=700,exec"], script);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["64", "700"]);
        assert!(lines[2].contains("nosuid") && !lines[2].contains("noexec"), "{said}");
        let mount = "type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=1770";
        let said = inside(&strake, &["--mount", mount], script);
        assert_eq!(said.lines().take(2).collect::<Vec<_>>(), ["64", "1770"]);
    });
}

#[test]
fn files_give_variables_and_labels_and_take_the_id() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let file = |name: &str, text: &str| {
            let path = strake.home().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let env = file("env", "# ours\nA=from file\nB=\"kept\"\nHOME\n");
        let labels = file("labels", "one=1\ntwo\n");
        let said = inside(&strake, &["--env-file", &env, "-e", "A=from flag"], "echo \"$A|$B|$HOME\"");
        assert_eq!(said, format!("from flag|\"kept\"|{}", strake.home().display()));
        let cid = strake.home().join("cid");
        let cid_flag = cid.to_string_lossy().into_owned();
        let flags = ["--label-file", &labels, "--cidfile", &cid_flag, "--annotation", "a.b=c"];
        sleeper(&strake, "web", &[&["--network", "none"], &flags[..]].concat());
        let seen = inspect(&strake, "web");
        assert_eq!(seen["Config"]["Labels"], json!({"one": "1"}));
        assert_eq!(seen["HostConfig"]["ContainerIDFile"], cid_flag.as_str());
        assert_eq!(seen["HostConfig"]["Annotations"], json!({"a.b": "c"}));
        let id = seen["Id"].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(&cid).unwrap(), id);
        let bundle = strake.state().join("containers").join(id).join("config.json");
        let spec: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
        assert_eq!(spec["annotations"]["a.b"], "c");
        let again = strake.run(&["run", "--rm", "--cidfile", &cid_flag, "busybox", "true"]);
        again.exits(125).says("container ID file found");
    });
}

#[test]
fn the_primary_group_is_among_the_supplementary_ones() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "grep ^Groups: /proc/self/status | xargs";
        assert_eq!(inside(&strake, &["-u", "1234:5678"], script), "Groups: 5678");
        assert_eq!(inside(&strake, &["-u", "1234", "--group-add", "30"], script), "Groups: 0 30");
        sleeper(&strake, "web", &["--network", "none", "--group-add", "30", "-u", "1234:5678"]);
        for (flags, expected) in [(&[][..], "Groups: 30 5678"), (&["-u", "5:6"][..], "Groups: 6 30")] {
            let said = strake.ok(&[&["exec"], flags, &["web", "sh", "-c", script]].concat());
            assert_eq!(said, expected, "{flags:?}");
        }
    });
}

#[test]
fn in_the_background_the_id_is_told_also_when_the_start_fails() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let failed = strake.run(&["run", "-d", "--name", "web", "--network", "none", "busybox", "/no/such"]);
        assert_eq!(failed.code, 127, "{failed:?}");
        let seen = inspect(&strake, "web");
        assert_eq!(seen["Id"].as_str(), Some(failed.stdout.trim()));
        assert_eq!(seen["HostConfig"]["UsernsMode"], "");
    });
}

#[test]
fn logs_carry_what_was_chosen_and_are_capped() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let flags = [
            "--log-opt",
            "labels=team",
            "--log-opt",
            "env-regex=^LC_",
            "--log-opt",
            "tag={{.Name}}/{{.ID}}",
            "-l",
            "team=a",
            "-l",
            "other=b",
            "-e",
            "LC_ALL=C",
            "--name",
            "web",
            "--network",
            "none",
        ];
        strake.ok(&[&["run"], &flags[..], &["busybox", "echo", "hello"]].concat());
        let seen = inspect(&strake, "web");
        let id = &seen["Id"].as_str().unwrap()[..12];
        let expected = format!("LC_ALL=C,tag=web/{id},team=a hello");
        assert_eq!(strake.ok(&["logs", "--details", "web"]), expected);
        assert_eq!(strake.ok(&["logs", "web"]), "hello");
        let line = std::fs::read_to_string(seen["LogPath"].as_str().unwrap()).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["attrs"]["team"], "a", "{line}");
        let config = &seen["HostConfig"]["LogConfig"];
        assert_eq!(
            (&config["Type"], &config["Config"]["max-size"]),
            (&json!("json-file"), &json!("10485760"))
        );
        // A small cap holds.
        let flags = ["--log-driver", "local", "--log-opt", "max-size=8k", "--log-opt", "max-file=2"];
        let script = ["--network", "none", "busybox", "seq", "5000"];
        strake.run(&[&["run", "--name", "much"], &flags[..], &script].concat()).ok();
        let seen = inspect(&strake, "much");
        assert_eq!(seen["HostConfig"]["LogConfig"]["Type"], "local");
        let log = std::path::PathBuf::from(seen["LogPath"].as_str().unwrap());
        let beside = std::fs::read_dir(log.parent().unwrap()).unwrap().flatten();
        let name = log.file_name().unwrap().to_string_lossy().into_owned();
        let names = beside.map(|file| file.file_name().to_string_lossy().into_owned());
        let kept = names.filter(|file| file.starts_with(&name) && !file.ends_with(".lock"));
        // One that is being compressed is there twice for a moment.
        let files: BTreeSet<_> = kept.map(|file| file.trim_end_matches(".gz").to_owned()).collect();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(strake.ok(&["logs", "much"]).ends_with("\n5000"));
        strake.ok(&["run", "--name", "mute", "--log-driver", "none", "--network", "none", "busybox", "true"]);
        strake.run(&["logs", "mute"]).exits(1).says("none");
    });
}

/// One of each.
const EVERY: &str = "--shm-size 1m --memory 64m --memory-swap -1 --memory-reservation 32m --cpuset-cpus 0 \
    --cpuset-mems 0 --cpu-shares 5 --cpu-period 5000 --cpu-quota 6000 --ulimit nofile=1:2 --oom-score-adj 7 \
    --blkio-weight 20 --device /dev/null:/dev/x:r --cgroupns host --sysctl net.core.somaxconn=9 --group-add 3 \
    --ipc shareable --pid host --uts host --init --read-only --tmpfs /t:size=4k,ro --stop-signal USR1 \
    --stop-timeout 3 -v /anonymous --runtime runc --isolation default --pull never \
    --blkio-weight-device /dev/vda:30 --device-read-bps /dev/vda:1k --device-write-iops /dev/vda:2";

#[test]
fn inspect_shows_each_in_dockers_field() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let host = strake.home().join("host");
        std::fs::create_dir(&host).unwrap();
        std::fs::set_permissions(&host, std::fs::Permissions::from_mode(0o755)).unwrap();
        let bind = format!("{}:/bound:ro,rprivate", host.display());
        let mount = format!("type=bind,src={},dst=/mounted,ro", host.display());
        let mut flags: Vec<&str> = EVERY.split_whitespace().collect();
        flags.extend(["--device-cgroup-rule", "c 1:* r", "-v", &bind, "--mount", &mount]);
        strake.ok(&[&["create", "--name", "all"], &flags[..], &["busybox", "true"]].concat());
        let seen = inspect(&strake, "all");
        let host = host.display().to_string();
        let expected = json!({
            "ShmSize": 1 << 20, "Memory": 64 << 20, "MemorySwap": -1, "MemoryReservation": 32 << 20,
            "CpusetCpus": "0", "CpusetMems": "0", "CpuShares": 5, "CpuPeriod": 5000, "CpuQuota": 6000,
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "OomScoreAdj": 7, "BlkioWeight": 20,
            "BlkioWeightDevice": [{"Path": "/dev/vda", "Weight": 30}],
            "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1024}],
            "BlkioDeviceWriteIOps": [{"Path": "/dev/vda", "Rate": 2}],
            "DeviceCgroupRules": ["c 1:* r"],
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}],
            "CgroupnsMode": "host", "Sysctls": {"net.core.somaxconn": "9"}, "GroupAdd": ["3"],
            "IpcMode": "shareable", "PidMode": "host", "UTSMode": "host", "Init": true, "ReadonlyRootfs": true,
            "Tmpfs": {"/t": "ro,size=4096"},
            "Binds": [format!("{host}:/bound:ro,rprivate")],
            "Mounts": [{"Type": "bind", "Source": host, "Target": "/mounted", "ReadOnly": true}],
            "VolumesFrom": null,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&seen["HostConfig"][key], value, "{key}");
        }
        assert_eq!(seen["Config"]["Volumes"], json!({"/anonymous": {}}));
        assert_eq!(
            (&seen["Config"]["StopSignal"], &seen["Config"]["StopTimeout"]),
            (&json!("SIGUSR1"), &json!(3))
        );
    });
}

#[test]
fn what_cannot_be_is_refused_in_dockers_words() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let table: &[(&[&str], &str)] = &[
            (&["--pid", "x"], "invalid PID mode"),
            (&["--ipc", "x"], "invalid IPC mode"),
            (&["--uts", "container:x"], "invalid UTS mode"),
            (&["--userns", "x"], "invalid USER mode"),
            (&["--cgroupns", "container:x"], "invalid CGROUP mode"),
            (&["--ulimit", "nofile=2:1"], "soft limit must be less than or equal to hard limit: 2 > 1"),
            (&["-m", "4m"], "Minimum memory limit allowed is 6MB"),
            (&["--memory-swap", "64m"], "You should always set the Memory limit when using Memoryswap limit"),
            (
                &["-m", "64m", "--memory-swap", "32m"],
                "Minimum memoryswap limit should be larger than memory limit",
            ),
            (&["--memory-swappiness", "101"], "valid memory swappiness range is 0-100"),
            (&["--memory-swappiness", "-2"], "valid memory swappiness range is 0-100"),
            (&["-m", "8m", "--memory-reservation", "9m"], "can not be less than memory reservation limit"),
            (&["--cpus", "1", "--cpu-quota", "5000"], "Nano CPUs and CPU Quota cannot both be set"),
            (&["--cpus", "4096"], "Range of CPUs is from 0.01 to"),
            (&["--cpu-period", "10"], "CPU cfs period can not be less than 1ms"),
            (&["--cpu-quota", "10"], "CPU cfs quota can not be less than 1ms"),
            (&["--cpuset-cpus", "4095"], "Requested CPUs are not available - requested 4095, available: "),
            (&["--cpuset-mems", "1023"], "Requested memory nodes are not available - requested 1023"),
            (&["--cpuset-cpus", "a"], "Invalid value for cpuset cpus"),
            (&["--blkio-weight", "5"], "Range of blkio weight is from 10 to 1000"),
            (&["--blkio-weight-device", "vda:20"], "bad format for device path: vda:20"),
            (&["--device-read-bps", "/dev/vda:x"], "invalid rate for device: /dev/vda:x"),
            (&["--device-write-iops", "/dev/no-such:3"], "no such file or directory"),
            (&["--oom-score-adj", "1001"], "range for oom score adj is [-1000, 1000]"),
            (&["--device", "/dev/no-such"], "error gathering device information while adding custom device"),
            (&["--device", "/dev/null:/x:z"], "bad mode specified: z"),
            (&["--device-cgroup-rule", "c 1:1"], "invalid device cgroup format 'c 1:1'"),
            (&["--sysctl", "kernel.hostname=x"], "it would change the host"),
            (&["--log-driver", "splunk"], "no log driver named 'splunk' is registered"),
            (&["--log-opt", "frob=1"], "unknown log opt 'frob' for json-file log driver"),
            (&["--log-opt", "tag={{.Nope}}"], "Nope"),
            (&["--stop-signal", "FROB"], "invalid signal: FROB"),
            (&["--runtime", "kata"], "unknown or invalid runtime name: kata"),
            (&["--isolation", "hyperv"], "invalid isolation"),
            (&["--cpu-count", "1"], "only supported on Windows"),
            (&["--use-api-socket"], "there is no daemon"),
            (&["--gpus", "all"], "could not select device driver"),
            (&["--storage-opt", "size=1G"], "supported only for overlay over xfs with 'pquota' mount option"),
            (&["--volume-driver", "nfs"], "plugin \"nfs\" not found"),
            (&["--pull", "often"], "invalid pull option"),
            (&["--attach", "x"], "valid streams are STDIN, STDOUT and STDERR"),
            (&["--env-file", "/no/such"], "open /no/such: no such file or directory"),
            (&["--annotation", "x"], "--annotation"),
            (&["--volumes-from", "ghost"], "no such container: ghost"),
            (&["--mount", "type=bind,src=/no/such,dst=/x"], "bind source path does not exist: /no/such"),
            (&["-v", "/x:/y:frob"], "invalid mode: frob"),
            (&["--tmpfs", "/x:frob"], "invalid tmpfs option"),
        ];
        for (flags, text) in table {
            let command = ["busybox", "true"];
            let said = strake.run(&[&["run", "--rm", "--network", "none"], *flags, &command].concat());
            said.exits(125).says(text);
        }
        strake.run(&["run", "--rm", "--network", "none", "busybox", "/etc"]).exits(126);
        strake.run(&["run", "--rm", "--network", "none", "busybox", "no-such"]).exits(127);
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
    });
}
