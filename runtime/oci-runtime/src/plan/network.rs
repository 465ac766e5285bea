//! `linux.netDevices`: network devices of the host that the container gets.

use oci_spec::runtime::Linux;

use super::{NamespacePlan, SpecError};

/// A device that is moved into the container's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevicePlan {
    /// Its name in the runtime's namespace.
    pub name: String,
    /// Its name in the container; with `%d` the kernel chooses the number.
    pub inside: String,
}

pub(super) fn net_devices(
    linux: &Linux,
    namespaces: &NamespacePlan,
) -> Result<Vec<NetDevicePlan>, SpecError> {
    let Some(given) = linux.net_devices().as_ref().filter(|devices| !devices.is_empty()) else {
        return Ok(Vec::new());
    };
    if !namespaces.has(sys::Namespace::Net) {
        return Err(SpecError::Conflict {
            what: "unable to move network devices without a NET namespace: netDevices".to_owned(),
            hint: "no network namespace: add one to linux.namespaces",
        });
    }
    let mut plan: Vec<NetDevicePlan> = Vec::new();
    for (name, device) in given {
        let inside = device.name().as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        for name in [name.as_str(), inside] {
            if !is_valid(name) {
                return Err(SpecError::invalid(
                    "linux.netDevices: invalid network device name",
                    name,
                    "1 to 15 bytes without a slash, a colon or a space",
                ));
            }
        }
        plan.push(NetDevicePlan { name: name.clone(), inside: inside.to_owned() });
    }
    plan.sort_by(|a, b| a.name.cmp(&b.name));
    let taken =
        |device: &NetDevicePlan| plan.iter().filter(|other| other.inside == device.inside).count() > 1;
    if let Some(twice) = plan.iter().find(|device| !device.inside.contains("%d") && taken(device)) {
        let hint = "each device has a name of its own in the container";
        return Err(SpecError::invalid("linux.netDevices name", &twice.inside, hint));
    }
    Ok(plan)
}

/// What the kernel takes as a name (`dev_valid_name`).
fn is_valid(name: &str) -> bool {
    let bad = |c: char| matches!(c, '/' | ':' | '\0') || c.is_whitespace();
    !name.is_empty() && name.len() <= NAME_MAX && name != "." && name != ".." && !name.contains(bad)
}

/// `IFNAMSIZ`, with the NUL byte.
const NAME_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(devices: &str, namespaces: &str) -> Result<Vec<NetDevicePlan>, String> {
        let json = format!(r#"{{"netDevices":{devices},"namespaces":[{namespaces}]}}"#);
        let linux: Linux = serde_json::from_str(&json).unwrap();
        let namespaces = super::super::namespaces::namespaces(&linux).unwrap();
        net_devices(&linux, &namespaces).map_err(|error| error.to_string())
    }

    const NET: &str = r#"{"type":"network"}"#;

    #[test]
    fn a_device_keeps_its_name_or_gets_another() {
        let got = of(r#"{"eth1":{"name":"c%d"},"eth0":{}}"#, NET).unwrap();
        let names: Vec<_> = got.iter().map(|device| (device.name.as_str(), device.inside.as_str())).collect();
        assert_eq!(names, [("eth0", "eth0"), ("eth1", "c%d")]);
        assert!(of(r#"{"eth0":{"name":"c%d"},"eth1":{"name":"c%d"}}"#, NET).is_ok());
        assert!(of("{}", "").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (devices, namespaces, part) in [
            (r#"{"eth0":{}}"#, "", "without a NET namespace"),
            (r#"{"a/b":{}}"#, NET, "invalid network device name"),
            (r#"{"eth0":{"name":"sixteen-bytes-up"}}"#, NET, "invalid network device name"),
            (r#"{"eth0":{"name":".."}}"#, NET, "invalid network device name"),
            (r#"{"eth0":{"name":"c"},"eth1":{"name":"c"}}"#, NET, "a name of its own"),
        ] {
            let error = of(devices, namespaces).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
