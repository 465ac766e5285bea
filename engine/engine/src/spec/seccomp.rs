//! The system call filter: the default policy, or a profile in docker's or the OCI's form.

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::capabilities::typed;
use crate::request::{InvalidOption, SeccompRequest, SecurityRequest};

/// The filter for a container that has these capabilities; none when it is unconfined.
pub(super) fn seccomp(
    security: &SecurityRequest,
    caps: &[String],
) -> Result<Option<LinuxSeccomp>, InvalidOption> {
    match &security.seccomp {
        SeccompRequest::Unconfined => Ok(None),
        SeccompRequest::Default if security.privileged => Ok(None),
        SeccompRequest::Default => Ok(Some(oci_spec::defaults::seccomp(&typed(caps)))),
        SeccompRequest::Profile(text) => from_profile(text, caps).map(Some),
    }
}

/// Docker's profiles have more than the OCI's: architectures with their sub-architectures,
/// and rules that hold only with (or without) a capability or on an architecture.
fn from_profile(text: &str, caps: &[String]) -> Result<LinuxSeccomp, InvalidOption> {
    let wrong =
        |why: String| InvalidOption::new("--security-opt", "seccomp=FILE", format!("the profile {why}"));
    let mut profile: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("is not JSON: {error}")))?;
    let map = profile.as_object_mut().ok_or_else(|| wrong("is not a JSON object".to_owned()))?;
    if let Some(Value::Array(entries)) = map.remove("archMap") {
        let names = entries.iter().flat_map(|entry| {
            let sub = entry["subArchitectures"].as_array().cloned().unwrap_or_default();
            std::iter::once(entry["architecture"].clone()).chain(sub)
        });
        let names: Vec<Value> = names.filter(is_of_this_machine).collect();
        map.insert("architectures".to_owned(), names.into());
    }
    if let Some(Value::Array(rules)) = map.get_mut("syscalls") {
        rules
            .retain(|rule| applies(&rule["includes"], true, caps) && applies(&rule["excludes"], false, caps));
        for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(name) = rule.remove("name").filter(Value::is_string) {
                rule.insert("names".to_owned(), json!([name]));
            }
            rule.retain(|key, value| {
                ["names", "action", "errnoRet", "args"].contains(&key.as_str()) && !value.is_null()
            });
        }
    }
    serde_json::from_value(profile)
        .map_err(|error| wrong(format!("is not of docker's or the OCI's form: {error}")))
}

/// Whether a rule's condition lets it in: all that it includes hold, none that it excludes.
fn applies(condition: &Value, wanted: bool, caps: &[String]) -> bool {
    let strings = |key: &str| -> Vec<String> {
        let list = condition[key].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let has_caps = strings("caps").iter().all(|cap| caps.contains(cap) == wanted);
    let arches = strings("arches");
    let on_arch = arches.is_empty() || arches.iter().any(|arch| arch == GO_ARCH) == wanted;
    has_caps && on_arch
}

fn is_of_this_machine(name: &Value) -> bool {
    name.as_str().is_some_and(|name| SCMP_ARCHES.contains(&name))
}

#[cfg(target_arch = "x86_64")]
const GO_ARCH: &str = "amd64";
#[cfg(target_arch = "x86_64")]
const SCMP_ARCHES: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const GO_ARCH: &str = "arm64";
#[cfg(target_arch = "aarch64")]
const SCMP_ARCHES: [&str; 3] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", ""];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dockers_form() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
                       {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                        {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
                        {"name":"clone","action":"SCMP_ACT_ALLOW","comment":"x","args":null,
                         "excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let names = |caps: &[String]| -> Vec<String> {
            let profile = from_profile(text, caps).unwrap();
            assert_eq!(profile.architectures().as_ref().unwrap().len(), 2);
            profile.syscalls().as_ref().unwrap().iter().flat_map(|rule| rule.names().clone()).collect()
        };
        assert_eq!(names(&[]), ["read", "clone"]);
        assert_eq!(names(&["CAP_SYS_ADMIN".to_owned()]), ["read", "mount"]);
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(from_profile("{", &[]).unwrap_err().to_string().contains("is not JSON"));
        assert!(from_profile("{}", &[]).unwrap_err().to_string().contains("form"));
    }
}
