//! `strake commit`.

use serde_json::Value;
use testkit::{Strake, isolated};

use crate::sleeper;

fn image(strake: &Strake, name: &str) -> Value {
    let all: Value = serde_json::from_str(&strake.ok(&["image", "inspect", name])).unwrap();
    all[0].clone()
}

#[test]
fn what_a_container_has_changed_becomes_a_layer() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "web", &["--network", "none", "-e", "A=1", "-l", "tier=front", "-v", "data:/data"]);
        strake.ok(&["exec", "web", "sh", "-c", "echo new > /made; rm /etc/group; echo v > /data/v"]);
        let options = ["-a", "Jane <jane@example.com>", "-m", "with made", "-c", "CMD [\"cat\", \"/made\"]"];
        let id = strake.ok(&[&["commit"][..], &options, &["-c", "ENV B=2", "web", "mine:1"]].concat());
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        // It was frozen for that, and goes on.
        assert_eq!(strake.ok(&["ps", "--format", "{{.Names}} {{.State}}"]), "web running");
        let said = strake.ok(&["run", "--rm", "--network", "none", "mine:1"]);
        assert_eq!(said, "new");
        strake.run(&["run", "--rm", "--network", "none", "mine:1", "ls", "/etc/group"]).exits(1);
        strake.run(&["run", "--rm", "--network", "none", "mine:1", "ls", "/data/v"]).exits(1);
        let (made, base) = (image(&strake, "mine:1"), image(&strake, "busybox"));
        assert_eq!(made["Id"], id.as_str());
        assert_eq!(made["Author"], "Jane <jane@example.com>");
        assert_eq!(made["Config"]["Labels"]["tier"], "front");
        let env = made["Config"]["Env"].as_array().unwrap();
        assert!(env.contains(&"A=1".into()) && env.contains(&"B=2".into()), "{env:?}");
        let layers = |image: &Value| image["RootFS"]["Layers"].as_array().unwrap().clone();
        assert_eq!(layers(&made)[..1], layers(&base)[..], "the base's layers are shared");
        assert_eq!(layers(&made).len(), 2);
        assert!(strake.ok(&["history", "mine:1"]).contains("with made"));
    });
}

#[test]
fn of_a_container_that_does_not_run_and_without_a_name() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--name", "done", "--network", "none", "busybox", "touch", "/mark"]);
        let id = strake.ok(&["commit", "--pause=false", "done"]);
        assert_eq!(strake.ok(&["images", "-q", "--no-trunc", "-f", "dangling=true"]), id);
        strake.ok(&["run", "--rm", "--network", "none", &id, "ls", "/mark"]);
        // Layers of an image can be shared with other machines.
        let tar = strake.home().join("image.tar");
        strake.ok(&["tag", &id, "kept:1"]);
        strake.ok(&["save", "-o", &tar.to_string_lossy(), "kept:1"]);
        let other = Strake::new();
        other.ok(&["load", "-i", &tar.to_string_lossy()]);
        other.ok(&["run", "--rm", "--network", "none", "kept:1", "ls", "/mark"]);
        strake.run(&["commit", "done", "Bad Name"]).exits(1);
        strake.run(&["commit", "-c", "FROM x", "done"]).exits(1).says("FROM x");
    });
}
