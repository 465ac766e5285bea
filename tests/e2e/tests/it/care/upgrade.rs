//! A container and a `strake` of another version.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::{Strake, isolated, wait_for, wait_until};

use crate::{pid, proc_file, sleeper, status};

/// Changes a JSON file; what it was before.
fn edit(path: &std::path::Path, change: impl FnOnce(&mut Value)) -> String {
    let before = std::fs::read_to_string(path).unwrap();
    let mut value: Value = serde_json::from_str(&before).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
    before
}

#[test]
fn records_of_a_newer_version_are_refused_and_harm_no_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "kept", &["--network", "none"]);
        let id = strake.ok(&["inspect", "-f", "{{.Id}}", "kept"]);
        let init = pid(&strake, "kept");

        // The engine's record.
        let record = strake.root().join(format!("containers/{id}/container.json"));
        let ours = edit(&record, |record| record["version"] = 99.into());
        for command in [&["stop", "kept"][..], &["exec", "kept", "true"], &["rm", "-f", "kept"]] {
            let refused = strake.run(command);
            assert!(refused.code != 0 && refused.stderr.contains("version 99"), "{refused:?}");
            assert!(refused.stderr.contains("use the newer one"), "{refused:?}");
        }
        assert!(proc_file(init, "cmdline").starts_with("sleep"), "it lives");
        std::fs::write(&record, ours).unwrap();
        assert_eq!(strake.ok(&["exec", "kept", "echo", "again"]), "again");

        // The supervisor's, when there is no supervisor any more.
        let parent: i32 = status(init, "PPid").parse().unwrap();
        kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL).unwrap();
        // Whoever has become its parent may not have waited for it yet.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
        };
        assert!(wait_until(std::time::Duration::from_secs(10), gone));
        let record = strake.state().join(format!("containers/{id}/shim.json"));
        let ours = edit(&record, |record| record["version"] = 99.into());
        let refused = strake.run(&["exec", "kept", "true"]);
        assert!(refused.code != 0 && refused.stderr.contains("version 99"), "{refused:?}");
        assert!(refused.stderr.contains("newer strake"), "{refused:?}");
        assert!(proc_file(init, "cmdline").starts_with("sleep"), "it lives");
        std::fs::write(&record, ours).unwrap();
        wait_for("its new supervisor", || (strake.run(&["exec", "kept", "true"]).code == 0).then_some(()));
        assert_eq!(pid(&strake, "kept"), init);
    });
}
