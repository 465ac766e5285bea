//! `strake explain --diff`.

use serde_json::Value;
use testkit::{Documented, Strake, isolated};

use crate::sleeper;

#[test]
fn explain_diff_names_every_difference_of_two_containers() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let common = ["--network", "none", "-e", "SAME=1"];
        sleeper(&strake, "plain", &common);
        sleeper(&strake, "twin", &common);
        let other = [
            "--network",
            "none",
            "-e",
            "SAME=1",
            "-e",
            "ONLY=here",
            "-m",
            "64m",
            "-v",
            "data:/data:ro",
            "--cap-add",
            "NET_ADMIN",
            "--pid",
            "host",
            "--read-only",
            "-l",
            "tier=web",
        ];
        sleeper(&strake, "other", &other);
        let compare = |a: &str, b: &str| -> Value {
            serde_json::from_str(&strake.ok(&["explain", "--diff", a, b, "--json"])).unwrap()
        };
        assert_eq!(compare("plain", "twin")["differences"], Value::Array(Vec::new()));
        let compared = compare("plain", "other");
        Documented::read("json-explain-diff").check(&compared);
        let differs = |section: &str, name: &str, a: Value, b: Value| {
            let found = compared["differences"].as_array().unwrap().iter();
            let found = found.filter(|d| d["section"] == section && d["name"] == name).collect::<Vec<_>>();
            assert_eq!(found.len(), 1, "{section} {name}: {compared:#}");
            assert_eq!((&found[0]["a"], &found[0]["b"]), (&a, &b), "{section} {name}");
        };
        differs("environment", "ONLY", Value::Null, "here".into());
        differs("limits", "Memory", "0".into(), (64 << 20).to_string().into());
        differs("mounts", "/data RW", Value::Null, "false".into());
        differs("rights", "CapAdd CAP_NET_ADMIN", Value::Null, "yes".into());
        differs("rights", "kernel effective NET_ADMIN", Value::Null, "yes".into());
        differs("rights", "ReadonlyRootfs", "false".into(), "true".into());
        differs("namespaces", "kernel pid", "its own".into(), "the host's".into());
        differs("labels", "Labels tier", Value::Null, "web".into());
        let text = strake.ok(&["explain", "--diff", "plain", "other"]);
        assert!(text.contains("    - (not there)\n    + here"), "{text}");
    });
}

#[test]
fn explain_diff_compares_images_and_refuses_strangers() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--name", "changed", "--network", "none", "busybox", "touch", "/new"]);
        strake.ok(&["commit", "-c", "ENV NEW=1", "changed", "busybox:2"]);
        let text = strake.ok(&["explain", "--diff", "busybox", "busybox:2"]);
        assert!(text.contains("environment") && text.contains("NEW") && text.contains("RootFS"), "{text}");
        let refused = strake.run(&["explain", "--diff", "busybox", "nobody"]);
        assert!(refused.stderr.contains("no such container or image: nobody"), "{refused:?}");
    });
}
