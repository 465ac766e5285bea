//! What takes up room, and how it is given back: `prune` and `system df`.

use std::process::Command;

use serde_json::Value;
use testkit::{Strake, isolated, run};

use crate::sleeper;

/// The sum of `system df` and what `du` says.
pub(super) fn disk(strake: &Strake) -> (u64, u64) {
    let rows = strake.ok(&["system", "df", "--format", "json"]);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sum = rows.map(|row| row["Bytes"].as_u64().unwrap()).sum();
    let du = run(Command::new("du").args(["-s", "--block-size=1"]).arg(strake.root()));
    (sum, du.ok().split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn df_adds_up_to_the_byte_to_what_the_disk_holds() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&[
            "run",
            "--name",
            "over",
            "--network",
            "none",
            "-v",
            "data:/data",
            "busybox",
            "sh",
            "-c",
            "head -c 100000 /dev/zero > /own; head -c 200000 /dev/zero > /data/file; seq 10000",
        ]);
        strake.ok(&["volume", "create", "unused"]);
        strake.ok(&["commit", "over", "made:1"]);
        let (sum, du) = disk(&strake);
        assert_eq!(sum, du);
        let table = strake.ok(&["system", "df"]);
        let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(heading, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
        let row = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("Images")[..2], ["2", "1"]);
        assert_eq!(row("Containers")[..2], ["1", "0"]);
        assert_eq!(row("Local Volumes")[..2], ["2", "1"]);
        assert_eq!(row("Build Cache"), ["0", "0", "0B", "0B"]);
        let verbose = strake.ok(&["system", "df", "-v"]);
        for part in ["Images space usage:", "Containers space usage:", "Local Volumes space usage:", "unused"]
        {
            assert!(verbose.contains(part), "{verbose}");
        }
        strake.ok(&["system", "prune", "-a", "-f", "--volumes"]);
        strake.ok(&["volume", "prune", "-a", "-f"]);
        let (sum, du) = disk(&strake);
        assert_eq!(sum, du);
    });
}

#[test]
fn prunes_take_filters_and_ask() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for (name, label) in [("first", "keep=1"), ("second", "keep=2"), ("third", "other")] {
            strake.ok(&["run", "--name", name, "-l", label, "--network", "none", "busybox", "true"]);
        }
        sleeper(&strake, "up", &["--network", "none"]);
        let id = |name: &str| strake.ok(&["ps", "-aq", "--no-trunc", "-f", &format!("name=^{name}$")]);
        let (a, b) = (id("first"), id("second"));
        // Without an answer nothing goes.
        let asked = strake.ok(&["container", "prune"]);
        assert!(asked.starts_with("WARNING! This will remove all stopped containers."), "{asked}");
        assert_eq!(
            strake.ok(&["container", "prune", "-f", "--filter", "until=1h"]),
            "Total reclaimed space: 0B"
        );
        let said = strake.ok(&["container", "prune", "-f", "--filter", "label=keep=1"]);
        assert!(said.starts_with(&format!("Deleted Containers:\n{a}\n\nTotal reclaimed space: ")), "{said}");
        let said = strake.ok(&["container", "prune", "-f", "--filter", "label!=other"]);
        assert!(said.contains(&b) && said.lines().count() == 4, "{said}");
        assert_eq!(strake.ok(&["ps", "-a", "--format", "{{.Names}}"]), "up\nthird");
        strake.run(&["container", "prune", "-f", "--filter", "frob=1"]).exits(1).says("frob=1");
        strake.ok(&["volume", "create", "--label", "keep", "named"]);
        strake.ok(&["volume", "create", "other"]);
        let said = strake.ok(&["volume", "prune", "-a", "-f", "--filter", "label!=keep"]);
        assert!(said.starts_with("Deleted Volumes:\nother\n\nTotal"), "{said}");
    });
}

#[test]
fn system_prune_takes_all_that_is_unused() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "up", &["--network", "none"]);
        strake.ok(&[
            "run",
            "--name",
            "over",
            "--network",
            "none",
            "-v",
            "/anonymous",
            "busybox",
            "touch",
            "/x",
        ]);
        strake.ok(&["commit", "over", "unused:1"]);
        let dangling = strake.ok(&["commit", "over"]);
        strake.ok(&["volume", "create", "named"]);
        let asked = strake.ok(&["system", "prune", "-a", "--volumes", "--filter", "label!=x"]);
        for part in [
            "WARNING! This will remove:\n  - all stopped containers\n",
            "  - all anonymous volumes not used by at least one container\n",
            "  - all images without at least one container associated to them\n",
            "Items to be pruned will be filtered with:\n  - label!=x\n",
        ] {
            assert!(asked.contains(part), "{asked}");
        }
        let refused = strake.run(&["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
        refused.exits(1).says("not supported with");
        let said = strake.ok(&["system", "prune", "-f"]);
        assert!(
            said.contains("Deleted Containers:\n") && said.contains(&format!("deleted: {dangling}")),
            "{said}"
        );
        assert!(!said.contains("Deleted Volumes") && !said.contains("unused:1"), "{said}");
        let said = strake.ok(&["system", "prune", "-f", "-a", "--volumes"]);
        assert!(said.contains("untagged: unused:1") && said.contains("Deleted Volumes:\n"), "{said}");
        assert_eq!(strake.ok(&["images", "--format", "{{.Repository}}"]), "busybox");
        assert_eq!(strake.ok(&["volume", "ls", "-q"]), "named");
        assert_eq!(strake.ok(&["ps", "-a", "--format", "{{.Names}}"]), "up");
        let told = strake.ok(&[
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "-f",
            "event=prune",
            "--format",
            "{{.Type}}",
        ]);
        assert_eq!(told.lines().collect::<std::collections::BTreeSet<_>>().len(), 3, "{told}");
    });
}
