//! `strake update`.

use testkit::{Strake, isolated};

use crate::{inspect, sleeper};

#[test]
fn limits_change_while_it_runs_and_stay() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none", "-m", "64m", "--pids-limit", "100"]);
        let said =
            strake.ok(&["update", "-m", "96m", "--pids-limit", "50", "-c", "512", "--cpus", "0.5", "web"]);
        assert_eq!(said, "web");
        let limit = |file_v1: &str, file_v2: &str| {
            let both = format!("cat /sys/fs/cgroup/{file_v1} 2>/dev/null || cat /sys/fs/cgroup/{file_v2}");
            strake.ok(&["exec", "web", "sh", "-c", &both])
        };
        let check = || {
            assert_eq!(limit("memory/memory.limit_in_bytes", "memory.max"), (96 << 20).to_string());
            assert_eq!(limit("pids/pids.max", "pids.max"), "50");
            let config = &inspect(&strake, "web")["HostConfig"];
            assert_eq!((&config["Memory"], &config["MemorySwap"]), (&(96 << 20).into(), &(128 << 20).into()));
            assert_eq!((&config["PidsLimit"], &config["CpuShares"]), (&50.into(), &512.into()));
            assert_eq!(config["NanoCpus"], 500_000_000);
        };
        check();
        strake.ok(&["restart", "-t", "0", "web"]);
        check();
        let refused = strake.run(&["update", "-m", "200m", "web"]);
        refused.exits(1).says("Memory limit should be smaller than already set memoryswap limit");
        strake.ok(&["update", "-m", "200m", "--memory-swap", "-1", "web"]);
        assert_eq!(inspect(&strake, "web")["HostConfig"]["MemorySwap"], -1);
        strake.run(&["update", "--cpu-quota", "5000", "web"]).exits(1).says("Conflicting options");
        strake.run(&["update", "web"]).exits(1).says("you must provide one or more flags");
        // One that does not run has the limits when it runs again.
        strake.ok(&["stop", "-t", "0", "web"]);
        strake.ok(&["update", "--pids-limit", "20", "web"]);
        strake.ok(&["start", "web"]);
        assert_eq!(limit("pids/pids.max", "pids.max"), "20");
        let told = strake.ok(&["events", "--since", "1h", "--until", "0s", "-f", "event=update"]);
        assert_eq!(told.lines().count(), 3, "{told}");
    });
}

#[test]
fn another_restart_policy_counts_at_once() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none"]);
        strake.run(&["update", "--restart", "sometimes", "web"]).exits(1).says("sometimes");
        assert_eq!(strake.ok(&["update", "--restart", "on-failure:3", "web"]), "web");
        let policy = inspect(&strake, "web")["HostConfig"]["RestartPolicy"].clone();
        assert_eq!((&policy["Name"], &policy["MaximumRetryCount"]), (&"on-failure".into(), &3.into()));
        assert_eq!(strake.ok(&["update", "--restart", "no", "web"]), "web");
        strake.ok(&["kill", "web"]);
        assert_eq!(strake.ok(&["ps", "-a", "--format", "{{.State}}"]), "exited");
    });
}
