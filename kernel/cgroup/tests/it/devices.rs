//! Device rules, as the kernel carries them out.

use cgroup::plan;
use testkit::TempDir;

use crate::Fixture;

#[test]
fn only_what_the_rules_allow_can_be_opened() {
    let fixture = Fixture::new("devices");
    let rules = r#"{"devices":[{"allow":false,"access":"rwm"},
                   {"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    let allowed = plan(&serde_json::from_str(rules).unwrap(), &fixture.layout).unwrap();
    let denied = plan(&serde_json::from_str("{}").unwrap(), &fixture.layout).unwrap();
    let dir = TempDir::new();
    let script = format!(
        "true < /dev/null || exit 1; true > /dev/zero || exit 2; mknod {0}/loop b 7 0 || exit 3; \
         true < {0}/loop && exit 4; true < /dev/kmsg; exit $((10 + $?))",
        dir.path().display()
    );
    for (plan, exit) in [(&denied, 12), (&allowed, 10)] {
        assert!(fixture.cgroup.apply(plan).unwrap().is_empty());
        let mut child = fixture.sh(&format!("({script}) ; exit $?"));
        let code = child.wait().unwrap().code();
        // dash says 2 for a redirection that fails, bash 1.
        assert!(code == Some(exit) || exit == 12 && code == Some(11), "{code:?}, not {exit}");
        let _ = std::fs::remove_file(dir.path().join("loop"));
    }
}

#[test]
fn a_privileged_container_may_use_everything() {
    let fixture = Fixture::new("privileged");
    let rules = r#"{"devices":[{"allow":true,"type":"a","access":"rwm"}]}"#;
    let plan = plan(&serde_json::from_str(rules).unwrap(), &fixture.layout).unwrap();
    fixture.cgroup.apply(&plan).unwrap();
    let list =
        std::fs::read_to_string(fixture.cgroup.v1_dir("devices").unwrap().join("devices.list")).unwrap();
    assert_eq!(list.trim(), "a *:* rwm");
}
