//! The server's version.

use crate::rig::rig;

/// [sig-api-machinery] server version should find the server version [Conformance]
#[test]
fn server_version_should_find_the_server_version() {
    let version = rig().get("/version").ok();
    assert_eq!(version["major"], "1");
    let minor = version["minor"].as_str().unwrap().trim_end_matches('+');
    assert!(minor.parse::<u32>().unwrap() >= 36, "{version}");
}
