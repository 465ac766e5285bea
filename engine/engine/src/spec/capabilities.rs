//! Which capabilities a container has.

use oci_spec::runtime::{Capabilities, Capability};

use crate::request::SecurityRequest;

/// The capabilities as `CAP_…` in the kernel's order: docker's default, less those that
/// are dropped, and those that are added; all for `--privileged`. None that the host
/// cannot give.
pub fn capabilities(security: &SecurityRequest, host: &[String], warnings: &mut Vec<String>) -> Vec<String> {
    let all = |list: &[String]| list.iter().any(|name| name == "ALL");
    let wanted: Vec<String> = if security.privileged || all(&security.cap_add) {
        let dropped = |name: &String| !security.privileged && security.cap_drop.contains(name);
        host.iter().filter(|name| !dropped(name)).cloned().collect()
    } else {
        let defaults = oci_spec::defaults::CAPABILITIES.iter().map(|cap| format!("CAP_{cap}"));
        let kept = defaults.filter(|name| !all(&security.cap_drop) && !security.cap_drop.contains(name));
        let mut wanted: Vec<String> = kept.collect();
        wanted.extend(security.cap_add.iter().cloned());
        wanted
    };
    let order = crate::request::known_capabilities();
    let missing: Vec<&str> = wanted.iter().filter(|name| !host.contains(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        warnings
            .push(format!("this host cannot give {}, so the container does not have it", missing.join(", ")));
    }
    order.filter(|name| wanted.contains(name) && host.contains(name)).collect()
}

/// The specification's set of capabilities given as `CAP_…`.
pub(super) fn typed(names: &[String]) -> Capabilities {
    names.iter().filter_map(|name| name.strip_prefix("CAP_")?.parse::<Capability>().ok()).collect()
}

/// A capability as `CAP_…`.
pub(super) fn name(cap: Capability) -> String {
    format!("CAP_{cap}")
}
