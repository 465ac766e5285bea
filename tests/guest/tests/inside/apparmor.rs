//! Row SE-07: AppArmor.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{TempDir, run};

use crate::container::Container;

/// Everything but reading what is secret.
const PROFILE: &str = "profile strake-guest flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  deny /etc/secret r,
}
";

/// Loads the profile with Debian's parser.
fn load() {
    let dir = TempDir::new();
    let file = dir.join("profile");
    fs::write(&file, PROFILE).unwrap();
    run(Command::new("/sbin/apparmor_parser").args(["--replace", "--skip-cache"]).arg(file)).ok();
}

#[test]
fn se_07_a_profile_confines_a_container() {
    load();
    let script = "cat /proc/self/attr/current /etc/public; cat /etc/secret";
    let container =
        Container::new(script).with(|spec| spec["process"]["apparmorProfile"] = json!("strake-guest"));
    for file in ["etc/public", "etc/secret"] {
        fs::write(container.in_root(file), "words\n").unwrap();
    }
    let said = container.run();
    assert_eq!(said.exits(1).stdout, "strake-guest (enforce)\nwords\n");
    said.says("/etc/secret").says("Permission denied");
}

#[test]
fn se_07_exec_is_confined_too() {
    load();
    let container = Container::new("sleep 1000").with(|spec| {
        spec["process"]["apparmorProfile"] = json!("strake-guest");
    });
    fs::write(container.in_root("etc/secret"), "words\n").unwrap();
    container.start();
    container.runtime(&["exec", "c", "cat", "/etc/secret"]).exits(1).says("Permission denied");
}

#[test]
fn se_07_a_profile_that_is_not_loaded_is_an_error() {
    let container =
        Container::new("true").with(|spec| spec["process"]["apparmorProfile"] = json!("strake-missing"));
    let said = container.run();
    assert_ne!(said.code, 0);
    said.says("strake-missing");
}
