//! `strake check`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Documented, Strake, isolated, run};

fn findings(report: &Value) -> Vec<(&str, &str)> {
    let all = report["findings"].as_array().unwrap();
    all.iter().map(|finding| (finding["id"].as_str().unwrap(), finding["level"].as_str().unwrap())).collect()
}

#[test]
fn check_finds_a_host_that_runs_containers() {
    isolated(|| {
        let strake = Strake::new();
        let report: Value = serde_json::from_str(&strake.ok(&["check", "--json"])).unwrap();
        assert_eq!((&report["version"], &report["can_run"]), (&1.into(), &true.into()));
        Documented::read("json-check").check(&report);
        let found = findings(&report);
        for id in ["mount-namespace", "overlay", "mount-api", "nftables", "bridge", "veth", "seccomp"] {
            assert!(found.contains(&(id, "ok")), "{id}: {found:?}");
        }
        for finding in report["findings"].as_array().unwrap() {
            for key in ["id", "group", "level", "value", "consequence"] {
                assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {finding}");
            }
        }
        // What the text says is what the JSON says.
        let text = strake.ok(&["check", "--all"]);
        for (id, _) in &found {
            assert!(text.contains(id), "{id} in {text}");
        }
        // Nothing is left where it tried: neither below the data root nor among the groups.
        let left = |dir: &Path| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().contains("strake-check")).count()
        };
        assert_eq!(left(strake.home()), 0);
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        hierarchies.for_each(|entry| assert_eq!(left(&entry.path()), 0, "{:?}", entry.path()));
    });
}

#[test]
fn check_says_what_a_user_without_rights_lacks() {
    isolated(|| {
        let strake = Strake::new();
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
        command.arg(strake.exe()).args(["--root", "/proc/none", "--state", "/proc/none", "check", "--json"]);
        let output = run(&mut command);
        assert_eq!(output.code, 1, "{output:?}");
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(report["can_run"], false);
        let found = findings(&report);
        assert!(found.contains(&("mount-namespace", "error")), "{found:?}");
        assert!(found.contains(&("data-root", "error")), "{found:?}");
        let namespace = report["findings"].as_array().unwrap().iter().find(|f| f["id"] == "mount-namespace");
        let fix = namespace.unwrap()["fix"].as_str().unwrap();
        assert!(fix.contains("CAP_SYS_ADMIN"), "{fix}");
    });
}
