//! `strake stats`.

use serde_json::Value;
use testkit::{Strake, isolated};

use crate::sleeper;

fn rows(strake: &Strake, args: &[&str]) -> Vec<Value> {
    let said = strake.ok(&[&["stats", "--no-stream", "--format", "json"], args].concat());
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The number in front of a unit.
fn number(text: &str) -> f64 {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..digits].parse().unwrap()
}

#[test]
fn what_containers_use() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "idle", &["-m", "64m"]);
        strake.ok(&[
            "run",
            "-d",
            "--name",
            "busy",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "while :; do :; done",
        ]);
        strake.ok(&["run", "--name", "over", "--network", "none", "busybox", "true"]);
        strake.ok(&[
            "exec",
            "idle",
            "sh",
            "-c",
            "ping -c 3 -i 0.1 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')",
        ]);
        let all = rows(&strake, &[]);
        assert_eq!(all.len(), 2, "{all:?}");
        let row = |name: &str| all.iter().find(|row| row["Name"] == name).unwrap();
        let (idle, busy) = (row("idle"), row("busy"));
        assert!(idle["MemUsage"].as_str().unwrap().ends_with(" / 64MiB"), "{idle}");
        assert!(number(idle["MemUsage"].as_str().unwrap()) > 0.0);
        assert_eq!(idle["PIDs"], "1");
        assert_ne!(idle["NetIO"], "0B / 0B");
        assert_eq!(busy["NetIO"], "0B / 0B");
        let percent = |row: &Value| number(row["CPUPerc"].as_str().unwrap());
        assert!(percent(busy) > percent(idle), "{busy} {idle}");
        let with_ended = rows(&strake, &["--all"]);
        assert_eq!(with_ended.len(), 3);
        let over = with_ended.iter().find(|row| row["Name"] == "over").unwrap();
        assert_eq!((&over["CPUPerc"], &over["MemUsage"]), (&"0.00%".into(), &"0B / 0B".into()));
        let table = strake.ok(&["stats", "--no-stream", "idle"]);
        let heading: Vec<&str> =
            table.lines().next().unwrap().split("   ").map(str::trim).filter(|s| !s.is_empty()).collect();
        assert_eq!(
            heading,
            ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]
        );
        assert_eq!(table.lines().count(), 2);
        strake.run(&["stats", "--no-stream", "nobody"]).exits(1).says("nobody");
    });
}
