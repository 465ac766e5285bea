//! Rows CG-01…13: control groups (v1 here; v2's file plan is tested as data).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Documented, Strake, isolated, run, wait_for, wait_until};

use crate::{inspect, pid, proc_file, sleeper};

/// The container's own directory in a v1 hierarchy.
fn cgroup(strake: &Strake, container: &str, controller: &str) -> PathBuf {
    let id = inspect(strake, container)["Id"].as_str().unwrap().to_owned();
    strake.cgroup().dir(controller).join(id)
}

fn number(path: impl AsRef<Path>) -> u64 {
    let path = path.as_ref();
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .trim()
        .parse()
        .unwrap()
}

/// CPU nanoseconds that the container has used.
fn cpu_used(strake: &Strake, container: &str) -> u64 {
    number(cgroup(strake, container, "cpuacct").join("cpuacct.usage"))
}

#[test]
fn cg_01_memory_limit_is_set_and_readable() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "limited", &["--network", "none", "-m", "512m"]);
        assert_eq!(number(cgroup(&strake, "limited", "memory").join("memory.limit_in_bytes")), 536_870_912);
        assert_eq!(inspect(&strake, "limited")["HostConfig"]["Memory"], 536_870_912);
    });
}

/// Fills memory in the shell itself: `tail` keeps all of a line that never ends.
const EAT: &str = "tail -c 300m /dev/zero > /dev/null";

#[test]
fn cg_02_over_the_limit_is_137_and_said_so() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let options = ["run", "--name", "eater", "--network", "none", "-m", "64m"];
        strake.run(&[&options[..], &["busybox", "tail", "-c", "300m", "/dev/zero"]].concat()).exits(137);
        let state = inspect(&strake, "eater")["State"].clone();
        assert_eq!(state["OOMKilled"], true, "{state}");
        assert_eq!(state["ExitCode"], 137);
        let why = strake.ok(&["why", "dead", "eater"]);
        assert!(why.to_lowercase().contains("oom") && why.contains("64"), "{why}");
    });
}

#[test]
fn cg_03_the_victim_is_named_also_when_it_is_a_child() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = format!("{SHARE} && {EAT}; echo survived");
        let options = ["run", "--name", "parent", "--network", "none", "-m", "64m"];
        let said = strake.run(&[&options[..], &["busybox", "sh", "-c", &script]].concat());
        assert_eq!(said.exits(0).stdout.trim(), "survived");
        let why = strake.ok(&["why", "dead", "parent"]);
        let line = why.lines().find(|line| line.contains("OOM kill ")).unwrap_or_else(|| panic!("{why}"));
        for said in ["tail (PID ", "oom_score_adj 0", "held (", "MiB anon, 16", "MiB file)", "limit 64MiB"] {
            assert!(line.contains(said), "{said:?} is not in {line}");
        }
        is_told_in_full(&inspect(&strake, "parent"));
    });
}

/// What no process holds, and counts as file.
const SHARE: &str = "dd if=/dev/zero of=/dev/shm/kept bs=1M count=16 2>/dev/null";

/// What `inspect` says of the one kill in a container of 64 MiB, of which 16 are no process's.
fn is_told_in_full(inspected: &serde_json::Value) {
    let kills = inspected["State"]["OOMKills"].as_array().unwrap();
    let [kill] = kills.as_slice() else { panic!("{kills:?}") };
    assert_eq!(
        (&kill["Command"], &kill["OomScoreAdj"], &kill["Limit"]),
        (&"tail".into(), &0.into(), &(64 << 20).into())
    );
    assert!(kill["Usage"].as_u64().is_some_and(|usage| usage > 32 << 20 && usage <= 64 << 20), "{kill}");
    let held = |key: &str| kill[key].as_u64().unwrap_or_else(|| panic!("{kill}"));
    assert!(held("Anon") > 32 << 20 && held("File") >= 16 << 20, "{kill}");
    assert!(held("Anon") + held("File") <= held("Usage"), "{kill}");
    assert_eq!(kill["WholeGroup"], false);
    assert!(
        kill["Pid"].as_i64().is_some_and(|pid| pid > 1) && kill["Pid"] != inspected["State"]["Pid"],
        "{kill}"
    );
}

#[test]
fn cg_04_an_oom_is_seen_while_the_container_lives() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = format!("{SHARE} && {EAT}; sleep 3600");
        strake.ok(&[
            "run",
            "-d",
            "--name",
            "alive",
            "--network",
            "none",
            "-m",
            "64m",
            "busybox",
            "sh",
            "-c",
            &script,
        ]);
        let counted = || {
            let control = cgroup(&strake, "alive", "memory").join("memory.oom_control");
            let control = std::fs::read_to_string(control).ok()?;
            control.lines().any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0").then_some(())
        };
        wait_for("the kernel's OOM counter", counted);
        // The shim tells of it, while the container goes on.
        let told = || strake.ok(&["events", "--since", "10m", "--until", "0s", "-f", "event=oom"]);
        wait_for("the event", || told().contains("container oom").then_some(()));
        assert!(told().contains("process=tail"), "{}", told());
        is_told_in_full(&inspect(&strake, "alive"));
        let seen = wait_until(Duration::from_secs(1), || {
            let explained = strake.ok(&["explain", "alive"]);
            explained.lines().any(|line| line.to_lowercase().contains("oom") && line.contains("tail"))
        });
        assert!(seen, "{}", strake.ok(&["explain", "alive"]));
        assert_eq!(inspect(&strake, "alive")["State"]["Running"], true);
    });
}

#[test]
fn cg_05_half_a_cpu_gets_half_a_cpu() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // Before all others of the machine: what it gets is its quota, however busy they are.
        std::fs::write(strake.cgroup().dir("cpu").join("cpu.shares"), "262144").unwrap();
        let script = "while :; do :; done";
        let options = ["run", "-d", "--name", "half", "--network", "none", "--cpus", "0.5"];
        strake.ok(&[&options[..], &["busybox", "sh", "-c", script]].concat());
        let dir = cgroup(&strake, "half", "cpu");
        assert_eq!(number(dir.join("cpu.cfs_quota_us")) * 2, number(dir.join("cpu.cfs_period_us")));
        let share = share_of_a_cpu(&strake, "half", Duration::from_secs(10));
        assert!(share < 0.53, "used {share}");
        // Others compete for the machine's CPUs; the kernel says whether the quota held it back.
        let throttled = std::fs::read_to_string(dir.join("cpu.stat")).unwrap();
        assert!(share > 0.47 || !throttled.contains("nr_throttled 0"), "used {share}, {throttled}");
    });
}

fn share_of_a_cpu(strake: &Strake, container: &str, during: Duration) -> f64 {
    let (started, before) = (Instant::now(), cpu_used(strake, container));
    wait_until(during, || false);
    (cpu_used(strake, container) - before) as f64 / started.elapsed().as_nanos() as f64
}

#[test]
fn cg_06_shares_split_a_contended_cpu() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for (name, shares) in [("two", "1024"), ("one", "512")] {
            let limits = ["--cpu-shares", shares, "--cpuset-cpus", "0"];
            let head = ["run", "-d", "--name", name, "--network", "none"];
            strake.ok(&[&head[..], &limits, &["busybox", "sh", "-c", "while :; do :; done"]].concat());
        }
        let before = (cpu_used(&strake, "two"), cpu_used(&strake, "one"));
        wait_until(Duration::from_secs(10), || false);
        let two = (cpu_used(&strake, "two") - before.0) as f64;
        let one = (cpu_used(&strake, "one") - before.1) as f64;
        assert!((1.8..=2.2).contains(&(two / one)), "{two} : {one}");
    });
}

#[test]
fn cg_07_cpu_use_is_accounted() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; sleep 3600";
        strake.ok(&["run", "-d", "--name", "used", "--network", "none", "busybox", "sh", "-c", script]);
        let init = pid(&strake, "used");
        // In the kernel's own accounts of the process and of the cgroup it is the same.
        let ticks = || {
            let stat = proc_file(init, "stat");
            let fields: Vec<u64> =
                stat.rsplit(')').next()?.split_whitespace().skip(11).take(4).flat_map(str::parse).collect();
            Some(fields.iter().sum::<u64>())
        };
        wait_for("the loop's end", || (strake.ok(&["logs", "used"]) == "done").then_some(()));
        let by_process = ticks().unwrap() as f64 / 100.0;
        let by_cgroup = cpu_used(&strake, "used") as f64 / 1e9;
        assert!((by_cgroup - by_process).abs() <= 0.05 * by_cgroup + 0.02, "{by_cgroup} s, {by_process} s");
        let explained: serde_json::Value =
            serde_json::from_str(&strake.ok(&["explain", "used", "--json"])).unwrap();
        Documented::read("json-explain").check(&explained);
        assert!(explained.to_string().contains("cpuacct.usage"), "explain names the source");
    });
}

#[test]
fn cg_08_pause_stops_all_tasks_and_unpause_continues_them() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "while :; do :; done";
        strake.ok(&["run", "-d", "--name", "frozen", "--network", "none", "busybox", "sh", "-c", script]);
        strake.ok(&["pause", "frozen"]);
        let state =
            std::fs::read_to_string(cgroup(&strake, "frozen", "freezer").join("freezer.state")).unwrap();
        assert_eq!(state.trim(), "FROZEN");
        assert_eq!(inspect(&strake, "frozen")["State"]["Status"], "paused");
        let before = cpu_used(&strake, "frozen");
        wait_until(Duration::from_millis(300), || false);
        assert_eq!(cpu_used(&strake, "frozen"), before, "it stands still");
        strake.ok(&["unpause", "frozen"]);
        wait_for("it to go on", || (cpu_used(&strake, "frozen") > before).then_some(()));
    });
}

/// A disk of the test's own.
struct LoopDevice {
    device: String,
}

impl LoopDevice {
    fn new(file: &Path, bytes: u64) -> Self {
        std::fs::File::create(file).unwrap().set_len(bytes).unwrap();
        let device = run(Command::new("losetup").args(["-f", "--show"]).arg(file)).ok().to_owned();
        Self { device }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        run(Command::new("losetup").args(["-d", &self.device]));
    }
}

#[test]
fn cg_09_disk_writes_are_limited_and_accounted() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let disk = LoopDevice::new(&strake.home().join("disk"), 64 << 20);
        let limit = 8u64 << 20;
        let options = [
            "--network".to_owned(),
            "none".to_owned(),
            format!("--device={}", disk.device),
            format!("--device-write-bps={}:{limit}", disk.device),
        ];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        sleeper(&strake, "writer", &options);
        let group = cgroup(&strake, "writer", "blkio");
        let rule = std::fs::read_to_string(group.join("blkio.throttle.write_bps_device")).unwrap();
        assert!(rule.trim().ends_with(&format!(" {limit}")), "{rule}");
        // The kernel's own account says how much went through while the writer was at it.
        let written = || {
            let text = std::fs::read_to_string(group.join("blkio.throttle.io_service_bytes")).unwrap();
            // Of this disk: the container's log and layer are on another.
            let device = rule.split_once(' ').unwrap().0;
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{device} Write ")));
            line.map_or(0, |bytes| bytes.parse::<u64>().unwrap())
        };
        // Whoever shares the machine may slow a try down, never speed it up.
        let rate = (0..5).map(|_| {
            let (before, start) = (written(), Instant::now());
            let of = format!("of={}", disk.device);
            strake.ok(&["exec", "writer", "dd", "if=/dev/zero", &of, "bs=256k", "count=64", "oflag=direct"]);
            let (bytes, seconds) = (written() - before, start.elapsed().as_secs_f64());
            assert!(bytes >= 16 << 20, "accounted: {bytes}");
            bytes as f64 / seconds / limit as f64
        });
        let rates: Vec<f64> = rate.collect();
        let best = rates.iter().copied().fold(0.0, f64::max);
        assert!((0.9..=1.1).contains(&best), "share of the limit that was reached: {rates:?}");
    });
}

/// v2's half is in the guest's `io.rs`.
#[test]
fn cg_13_buffered_writes_escape_the_limit_on_v1() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let disk = LoopDevice::new(&strake.home().join("disk"), 64 << 20);
        let mounted = strake.home().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        run(Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4", &disk.device])).ok();
        run(Command::new("mount").arg(&disk.device).arg(&mounted)).ok();
        let limit = format!("--device-write-bps={}:1mb", disk.device);
        let bound = format!("{}:/mnt", mounted.display());
        sleeper(&strake, "writer", &["--network", "none", &limit, "-v", &bound]);
        strake.ok(&["exec", "writer", "dd", "if=/dev/zero", "of=/mnt/file", "bs=1M", "count=16"]);
        run(Command::new("sync").arg("-f").arg(&mounted)).ok();
        let stat = format!("/sys/block/{}/stat", disk.device.trim_start_matches("/dev/"));
        let sectors = std::fs::read_to_string(stat).unwrap().split_whitespace().nth(6).map(str::to_owned);
        assert!(sectors.unwrap().parse::<u64>().unwrap() * 512 >= 16 << 20, "it is on the disk");
        let account = cgroup(&strake, "writer", "blkio").join("blkio.throttle.io_service_bytes");
        let account = std::fs::read_to_string(account).unwrap();
        let rule = cgroup(&strake, "writer", "blkio").join("blkio.throttle.write_bps_device");
        let rule = std::fs::read_to_string(rule).unwrap();
        let line = format!("{} Write ", rule.split_once(' ').unwrap().0);
        let written = account.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or("0");
        assert!(written.parse::<u64>().unwrap() < 1 << 20, "on whose account: {account}");
        run(Command::new("umount").arg(&mounted)).ok();
    });
}

#[test]
fn cg_10_a_fork_bomb_stops_at_the_limit() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "bomb", &["--network", "none", "--pids-limit", "20"]);
        let script = "for i in $(seq 50); do sleep 60 & done; wait";
        let mut bomb = strake.background(&["exec", "bomb", "sh", "-c", script]);
        let dir = cgroup(&strake, "bomb", "pids");
        wait_for("the limit to be hit", || {
            let events = std::fs::read_to_string(dir.join("pids.events")).ok()?;
            (!events.contains("max 0")).then_some(())
        });
        assert!(number(dir.join("pids.current")) <= 20);
        assert!(run(&mut Command::new("true")).code == 0, "the host still forks");
        let _ = bomb.child_mut().kill();
    });
}

#[test]
fn cg_11_the_hierarchies_are_found_and_told() {
    isolated(|| {
        // By the file system's type, as the kernel has it mounted.
        let kind = run(Command::new("stat").args(["-f", "-c", "%T", "/sys/fs/cgroup"])).ok().to_owned();
        let has_v2 = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
        let expected = match (kind.as_str(), has_v2) {
            ("cgroup2fs", _) => "v2",
            (_, true) => "hybrid",
            (_, false) => "v1",
        };
        let said = Strake::new().run(&["check"]).stdout;
        let line = said.lines().find(|line| line.split_whitespace().nth(1) == Some("cgroup"));
        assert_eq!(line.and_then(|line| line.split_whitespace().nth(2)), Some(expected), "{said}");
    });
}

#[test]
fn cg_12_one_merged_table_of_all_hierarchies() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "member", &["--network", "none", "-m", "64m"]);
        let lines = proc_file(pid(&strake, "member"), "cgroup");
        let explained = strake.ok(&["explain", "member"]);
        let id = inspect(&strake, "member")["Id"].as_str().unwrap().to_owned();
        for line in lines.lines() {
            let controllers = line.split(':').nth(1).unwrap();
            if line.ends_with(&id) && !controllers.is_empty() && !controllers.starts_with("name=") {
                assert!(explained.contains(controllers), "{controllers} is missing in\n{explained}");
            }
        }
        assert!(explained.contains("memory.limit_in_bytes"), "{explained}");
    });
}
