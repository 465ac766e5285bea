use super::*;

fn rules(json: &str) -> DevicePolicy {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
    DevicePolicy::for_container(&rules)
}

#[test]
fn without_rules_only_harmless_devices() {
    let policy = rules("[]");
    for (kind, major, minor, access, allowed) in [
        (DeviceKind::Char, 1, 3, "rw", true),
        (DeviceKind::Char, 5, 2, "rwm", true),
        (DeviceKind::Char, 136, 5, "rw", true),
        (DeviceKind::Block, 8, 0, "m", true),
        (DeviceKind::Block, 8, 0, "r", false),
        (DeviceKind::Block, 8, 0, "rm", false),
        (DeviceKind::Char, 10, 229, "rw", false),
    ] {
        assert_eq!(
            policy.allows(kind, major, minor, Access::parse(access)),
            allowed,
            "{kind:?} {major}:{minor} {access}"
        );
    }
}

#[test]
fn v1_gets_the_sweeping_rule_first() {
    let policy = rules(
        r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"b","major":7,"access":"r"},
            {"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"},
            {"allow":true,"type":"a","major":9,"access":"rw"}]"#,
    );
    let writes: Vec<String> =
        policy.v1_writes().into_iter().map(|(file, value)| format!("{file}: {value}")).collect();
    assert_eq!(
        writes[..6],
        [
            "devices.deny: a",
            "devices.allow: b 7:* r",
            "devices.deny: c 10:229 rwm",
            "devices.allow: b 9:* rw",
            "devices.allow: c 9:* rw",
            "devices.allow: c *:* m",
        ]
    );
}

#[test]
fn a_privileged_container_may_use_everything() {
    let policy = rules(r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"a","access":"rwm"}]"#);
    assert_eq!(policy, DevicePolicy { allow_by_default: true, rules: Vec::new() });
    assert_eq!(policy.v1_writes(), [("devices.allow", "a".to_owned())]);
    assert!(policy.allows(DeviceKind::Block, 8, 0, Access::ALL));
}

#[test]
fn the_last_rule_decides_for_each_access() {
    let policy = rules(
        r#"[{"allow":true,"type":"b","major":8,"minor":0,"access":"rw"},
            {"allow":false,"type":"b","major":8,"minor":0,"access":"w"},
            {"allow":true,"type":"c","major":-1,"minor":-1,"access":"r"}]"#,
    );
    assert!(policy.allows(DeviceKind::Block, 8, 0, Access::READ));
    assert!(!policy.allows(DeviceKind::Block, 8, 0, Access::READ.with(Access::WRITE)));
    assert!(policy.allows(DeviceKind::Char, 200, 200, Access::READ), "-1 is every number");
}

#[test]
fn access_is_read_in_any_order() {
    assert_eq!(Access::parse("mwr"), Access::ALL);
    assert_eq!(Access::parse("w").to_string(), "w");
    assert!(Access::parse("").is_empty());
}
