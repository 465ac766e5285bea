//! Images in and out: registries, archives, tags, accounts.

use std::process::{Command, Stdio};

use testkit::registry::{BasicAuth, Registry};
use testkit::{Strake, images, isolated, run};

#[test]
fn a_registry_with_a_password() {
    isolated(|| {
        let account = BasicAuth { user: "someone", password: "s3cret" };
        let registry = Registry::start_with(account);
        let strake = Strake::new().with_busybox();
        let reference = registry.reference("private/busybox:1");
        strake.ok(&["tag", "busybox", &reference]);
        strake.run(&["push", &reference]).exits(1).says("login");
        let login = |password: &str| {
            let mut command =
                strake.command(&["login", "-u", "someone", "--password-stdin", registry.address()]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        };
        assert!(!login("wrong").status.success());
        assert!(login("s3cret").status.success());
        strake.ok(&["push", &reference]);
        strake.ok(&["rmi", &reference]);
        strake.ok(&["pull", &reference]);
        let debug = strake.run(&["--debug", "pull", &reference]);
        assert!(!debug.stderr.contains("s3cret") && !debug.stdout.contains("s3cret"));
        strake.ok(&["logout", registry.address()]);
        strake.run(&["pull", &reference]).exits(1).says("login");
    });
}

#[test]
fn archives_of_skopeo_load_and_ours_round_trip() {
    isolated(|| {
        let strake = Strake::new();
        let layout = format!("oci:{}:latest", images::debian_layout().display());
        for (transport, name) in [("docker-archive", "d.tar"), ("oci-archive", "o.tar")] {
            let archive = strake.home().join(name);
            let to = format!("{transport}:{}:debian:1", archive.display());
            run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &layout, &to])).ok();
            let said = strake.ok(&["load", "-i", &archive.to_string_lossy()]);
            assert!(said.contains("debian:1"), "{said}");
            assert_eq!(
                strake.ok(&["run", "--rm", "--network", "none", "debian:1", "bash", "-c", "echo $BASH"]),
                "/usr/bin/bash"
            );
            strake.ok(&["rmi", "debian:1"]);
        }
        assert_eq!(strake.ok(&["images", "-q"]), "");
    });
}

#[test]
fn tags_history_prune_and_images_in_use() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["tag", "busybox", "other:2"]);
        assert_eq!(strake.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}", "other"]), "other:2");
        strake.ok(&["create", "--name", "user", "--network", "none", "other:2"]);
        assert!(strake.ok(&["rmi", "other:2"]).contains("Untagged: other:2"));
        strake.run(&["rmi", "busybox"]).exits(1).says("user");
        strake.ok(&["rm", "user"]);
        assert!(strake.ok(&["image", "history", "busybox"]).contains("IMAGE"));
        assert!(strake.ok(&["rmi", "busybox"]).contains("Deleted: sha256:"));
        assert_eq!(strake.ok(&["images", "-q"]), "");
        assert!(strake.ok(&["image", "prune", "-a", "-f"]).contains("reclaimed"));
    });
}

#[test]
fn pull_shows_plain_lines_where_there_is_no_terminal() {
    isolated(|| {
        let registry = Registry::start();
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        let said = strake.run(&["pull", &nginx]);
        let all = format!("{}{}", said.ok(), said.stderr);
        assert!(
            all.contains("Pull complete")
                && all.contains("Digest: sha256:")
                && all.contains("Status: Downloaded"),
            "{all}"
        );
        assert!(!all.contains('\x1b'), "no cursor movements");
        let again = strake.run(&["pull", &nginx]);
        assert!(again.ok().contains("up to date"), "{again:?}");
    });
}
