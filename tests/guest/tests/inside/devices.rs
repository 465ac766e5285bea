//! Device rules, which are eBPF programs on v2.

use serde_json::json;

use crate::container::Container;
use crate::io::disk;

/// A container that has the scratch disk as `/dev/disk`, and may use it by `access`.
fn with_disk(script: &str, access: &str) -> Container {
    let (major, minor) = disk();
    Container::new(script).with(|spec| {
        spec["linux"]["devices"] =
            json!([{ "path": "/dev/disk", "type": "b", "major": major, "minor": minor, "fileMode": 0o666 }]);
        spec["linux"]["resources"]["devices"] = json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "b", "major": major, "minor": minor, "access": access },
        ]);
    })
}

#[test]
fn an_allowed_device_opens_and_a_denied_one_does_not() {
    let container = with_disk("head -c 1 /dev/disk >/dev/null && echo opened", "rw");
    assert_eq!(container.run().ok(), "opened");
    let container = with_disk("head -c 1 /dev/disk >/dev/null", "m");
    container.run().exits(1).says("Operation not permitted");
}

#[test]
fn reading_and_writing_are_different_rights() {
    let ended = with_disk(": >/dev/disk && echo opened; head -c 1 /dev/disk >/dev/null", "w").run();
    assert_eq!(ended.exits(1).stdout.trim(), "opened");
    ended.says("Operation not permitted");
    let ended = with_disk("head -c 1 /dev/disk >/dev/null && echo read; : >/dev/disk", "r").run();
    assert_eq!(ended.stdout.trim(), "read");
    ended.says("peration not permitted");
}

#[test]
fn default_devices_work_and_made_ones_do_not_open() {
    let script = "echo x >/dev/null && head -c 1 /dev/zero >/dev/null && head -c 1 /dev/urandom >/dev/null && \
                  mknod /tmp/memory c 1 1 && echo made && head -c 1 /tmp/memory";
    let ended = Container::new(script).run();
    assert_eq!(ended.exits(1).stdout.trim(), "made");
    ended.says("Operation not permitted");
}

#[test]
fn without_mknod_in_the_rules_no_node_is_made() {
    let container = Container::new("mknod /tmp/disk b 254 0").with(|spec| {
        let deny_making = json!([{ "allow": false, "type": "b", "major": 254, "minor": 0, "access": "m" }]);
        spec["linux"]["resources"]["devices"] = deny_making;
    });
    // Making any node is a default right: the last rule that matches decides.
    container.run().ok();
}

#[test]
fn everything_allowed_is_everything() {
    let (major, minor) = disk();
    let script =
        format!("mknod /tmp/disk b {major} {minor} && head -c 1 /tmp/disk >/dev/null && echo opened");
    let container = Container::new(&script).limited("devices", json!([{ "allow": true, "access": "rwm" }]));
    assert_eq!(container.run().ok(), "opened");
}

#[test]
fn masked_paths_are_empty_on_a_kernel_that_clones_only_what_is_attached() {
    let script =
        "ls -A /proc/irq; head -c 1 /proc/kallsyms; ls -A /; cat /proc/self/mountinfo | grep -c mask";
    let container = Container::new(script).with(|spec| {
        spec["linux"]["maskedPaths"] = json!(["/proc/irq", "/proc/kallsyms"]);
    });
    let said = container.run();
    assert!(said.ok().starts_with("bin\n") && said.stdout.ends_with("\n2\n"), "{}", said.stdout);
}
