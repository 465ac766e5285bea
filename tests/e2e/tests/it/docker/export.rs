//! `strake export`.

use std::process::Command;

use testkit::{Strake, isolated, run};

use crate::sleeper;

fn listed(tar: &std::path::Path) -> String {
    run(Command::new("tar").arg("-tvf").arg(tar)).ok().to_owned()
}

#[test]
fn all_files_and_nothing_that_is_mounted() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none", "-v", "data:/data"]);
        strake.ok(&[
            "exec",
            "web",
            "sh",
            "-c",
            "echo mine > /file; chown 7:8 /file; echo x > /data/in-volume",
        ]);
        let tar = strake.home().join("web.tar");
        let tar_path = tar.to_string_lossy().into_owned();
        strake.ok(&["export", "-o", &tar_path, "web"]);
        let running = listed(&tar);
        let line = running.lines().find(|line| line.ends_with(" file")).unwrap();
        assert!(line.contains("7/8"), "{line}");
        assert!(running.contains("bin/busybox") && running.contains("data/"), "{running}");
        assert!(running.contains(" .dockerenv"), "{running}");
        assert!(!running.contains("in-volume") && !running.contains("proc/1"), "{running}");
        strake.ok(&["stop", "-t", "0", "web"]);
        strake.ok(&["export", "--output", &tar_path, "web"]);
        assert_eq!(listed(&tar), running, "whether it runs or not");
        // What was exported can be imported, and runs.
        strake.ok(&["import", &tar_path, "again"]);
        let said = strake.ok(&["run", "--rm", "--network", "none", "again", "cat", "/file"]);
        assert_eq!(said, "mine");
        strake.ok(&["start", "web"]);
        assert_eq!(strake.ok(&["exec", "web", "cat", "/file", "/data/in-volume"]), "mine\nx");
        strake.run(&["export", "nobody"]).exits(1).says("nobody");
    });
}
