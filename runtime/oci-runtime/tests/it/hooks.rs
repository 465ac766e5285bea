//! The six kinds of hooks: order, place, state, failure.

use serde_json::{Value, json};
use testkit::isolated;

use crate::bundle::Bundle;

/// A hook that appends its name and the state's status and pid to a file.
fn hook(bundle: &Bundle, name: &str) -> Value {
    let file = bundle.dir.join("order").display().to_string();
    let script = format!("read s; echo {name} $s >> {file}");
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }])
}

fn inner_hook(name: &str) -> Value {
    let script = format!("read s; echo {name} $s >> /tmp/order; ls / | head -1 >> /tmp/order");
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }])
}

fn statuses(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (name, json) = line.split_once(' ')?;
        let state: Value = serde_json::from_str(json).ok()?;
        Some((name.to_owned(), state["status"].as_str()?.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

#[test]
fn hooks_run_in_order_with_the_state() {
    isolated(|| {
        let bundle = Bundle::new().script("echo program >> /tmp/order; sleep 1000");
        let hooks = json!({
            "prestart": hook(&bundle, "prestart"),
            "createRuntime": hook(&bundle, "createRuntime"),
            "createContainer": hook(&bundle, "createContainer"),
            "startContainer": inner_hook("startContainer"),
            "poststart": hook(&bundle, "poststart"),
            "poststop": hook(&bundle, "poststop"),
        });
        let bundle = bundle.with(|spec| spec["hooks"] = hooks);
        bundle.start();
        bundle.runtime(&["delete", "--force", "c"]).ok();
        let outside = std::fs::read_to_string(bundle.dir.join("order")).unwrap();
        let got = statuses(&outside);
        let expect = [
            ("prestart", "created"),
            ("createRuntime", "created"),
            ("createContainer", "created"),
            ("poststart", "running"),
            ("poststop", "stopped"),
        ];
        assert_eq!(got, expect.map(|(name, status)| (name.to_owned(), status.to_owned())));
        // createContainer resolves its path in the runtime's root, before the pivot.
        let inside = std::fs::read_to_string(bundle.in_root("tmp/order")).unwrap();
        let lines: Vec<&str> = inside.lines().collect();
        assert!(lines[0].starts_with("startContainer {"), "{inside}");
        assert!(lines[0].contains("\"created\"") && lines[0].contains("\"pid\":1"), "{inside}");
        assert_eq!(lines[1], "bin");
    });
}

#[test]
fn a_failing_hook_before_the_start_undoes_everything() {
    isolated(|| {
        for kind in ["prestart", "createRuntime", "createContainer"] {
            let bundle = Bundle::new();
            let failing = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"] }]);
            let poststop = hook(&bundle, "poststop");
            let bundle = bundle.with(|spec| spec["hooks"] = json!({ kind: failing, "poststop": poststop }));
            bundle.run().exits(1).says(kind).says("because");
            bundle.assert_nothing_left();
            let after = std::fs::read_to_string(bundle.dir.join("order")).unwrap();
            assert_eq!(statuses(&after), [("poststop".to_owned(), "stopped".to_owned())], "{kind}");
        }
    });
}

#[test]
fn a_failing_hook_at_the_start_stops_the_container() {
    isolated(|| {
        for kind in ["startContainer", "poststart"] {
            let failing = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
            let bundle =
                Bundle::new().script("sleep 1000").with(|spec| spec["hooks"] = json!({ kind: failing }));
            bundle.create().ok();
            bundle.runtime(&["start", "c"]).exits(1).says(kind);
            assert!(testkit::wait_until(std::time::Duration::from_secs(5), || bundle.state()["status"]
                == "stopped"));
            bundle.runtime(&["delete", "c"]).ok();
        }
    });
}

#[test]
fn after_a_failing_hook_at_the_end_the_rest_goes_on() {
    isolated(|| {
        let bundle = Bundle::new();
        let fails = json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"] });
        let missing = json!({ "path": "/nonexistent" });
        let works = &hook(&bundle, "poststop")[0];
        let poststop = json!([fails, missing, works]);
        let bundle = bundle.with(|spec| spec["hooks"] = json!({ "poststop": poststop }));
        bundle.create().ok();
        let deleted = bundle.runtime(&["delete", "c"]);
        deleted
            .exits(0)
            .says("poststop hook #0")
            .says("because")
            .says("poststop hook #1")
            .says("/nonexistent");
        bundle.assert_nothing_left();
        bundle.run().exits(0).says("poststop hook #0");
        let after = std::fs::read_to_string(bundle.dir.join("order")).unwrap();
        assert_eq!(statuses(&after), vec![("poststop".to_owned(), "stopped".to_owned()); 2]);
    });
}

#[test]
fn after_a_failed_create_failing_hooks_are_told_too() {
    isolated(|| {
        let fails = |why: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {why} >&2; exit 3")] }]);
        let bundle = Bundle::new().with(|spec| {
            spec["hooks"] = json!({ "createRuntime": fails("first"), "poststop": fails("second") });
        });
        let output = bundle.run();
        output.exits(1).says("first").says("level=warning").says("poststop hook #0").says("second");
        assert!(output.stderr.find("second") < output.stderr.find("first"), "{}", output.stderr);
        bundle.assert_nothing_left();
    });
}

#[test]
fn a_hook_that_takes_too_long_is_killed() {
    isolated(|| {
        let slow = json!([{ "path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1 }]);
        let bundle = Bundle::new().with(|spec| spec["hooks"] = json!({ "createRuntime": slow }));
        bundle.run().exits(1).says("did not end within 1 s");
        bundle.assert_nothing_left();
    });
}
