//! Reading a bundle's `config.json`.

mod members;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, LinuxSeccomp, Spec};
use serde_json::Value;
use sys::seccomp::Filter;

use crate::error::Error;
use crate::kept::Kept;

/// A spec, and what of the file it does not hold.
#[derive(Debug)]
pub struct Loaded {
    /// The spec.
    pub spec: Spec,
    /// What was left out.
    pub warnings: Vec<String>,
    /// The seccomp filter, if it is made already; the spec may be without its section then.
    pub filter: Option<Filter>,
}

/// Reads `config.json` of the bundle.
pub fn load_spec(bundle: &Path) -> Result<Spec, Error> {
    load_spec_with(bundle, true)
}

/// As [`load_spec`], with or without the seccomp section.
pub(crate) fn load_spec_with(bundle: &Path, section: bool) -> Result<Spec, Error> {
    let (path, mut text) = read(bundle)?;
    if !section && let Some((_, rest)) = members::take(&text, SECTION) {
        text = rest;
    }
    parse(&text, &path).map(|loaded| loaded.spec)
}

/// As [`load_spec`], and says what it left out.
pub fn load(bundle: &Path) -> Result<Loaded, Error> {
    let (path, text) = read(bundle)?;
    parse(&text, &path)
}

/// As [`load`], with the filter: where one was kept that was made from the same section, that is not read.
pub(crate) fn load_with(bundle: &Path, kept: &Kept) -> Result<Loaded, Error> {
    let (path, text) = read(bundle)?;
    let Some((section, rest)) = members::take(&text, SECTION) else { return parse(&text, &path) };
    if let Some(filter) = kept.find(section)
        && let Ok(loaded) = parse(&rest, &path)
        // There may be two, of which the last counts.
        && section_of(&loaded.spec).is_none()
    {
        return Ok(Loaded { filter: Some(filter), ..loaded });
    }
    let mut loaded = parse(&text, &path)?;
    if let Some(made_from) = section_of(&loaded.spec) {
        let filter = crate::seccomp::compile(made_from)?;
        kept.keep(section, made_from, &filter);
        loaded.filter = Some(filter);
    }
    Ok(loaded)
}

pub(crate) fn section_of(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux().as_ref()?.seccomp().as_ref()
}

const SECTION: &[&str] = &["linux", "seccomp"];

fn read(bundle: &Path) -> Result<(PathBuf, Vec<u8>), Error> {
    let path = bundle.join("config.json");
    match std::fs::read(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoConfig { bundle: bundle.to_owned() })
        }
        Err(error) => Err(Error::path("read", path)(error)),
    }
}

/// Reads a `config.json`; `path` is for messages.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Loaded, Error> {
    match serde_json::from_slice(bytes) {
        Ok(spec) => Ok(Loaded { spec, warnings: Vec::new(), filter: None }),
        // Seldom, so only then is it read a second time.
        Err(source) => parse_tolerantly(bytes, Error::Json { path: PathBuf::from(path), source }),
    }
}

/// Capabilities that a later kernel may have are left out (config.md, "Linux Process": a runtime
/// warns of those that it cannot map). Words of a memory policy that nobody knows are named.
fn parse_tolerantly(bytes: &[u8], error: Error) -> Result<Loaded, Error> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return Err(error) };
    check_memory_policy(&value["linux"]["memoryPolicy"])?;
    let unknown =
        value.pointer_mut("/process/capabilities").map(drop_unknown_capabilities).unwrap_or_default();
    if unknown.is_empty() {
        return Err(error);
    }
    let warnings = vec![format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" "))];
    let Error::Json { path, .. } = error else { return Err(error) };
    // As text again: code that reads a spec from a value would be as large as that which reads text.
    let spec = serde_json::to_vec(&value).and_then(|text| serde_json::from_slice(&text));
    let spec = spec.map_err(|source| Error::Json { path, source })?;
    Ok(Loaded { spec, warnings, filter: None })
}

fn drop_unknown_capabilities(sets: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for names in sets.as_object_mut().into_iter().flat_map(|sets| sets.values_mut()) {
        let Some(names) = names.as_array_mut() else { continue };
        names.retain(|name| {
            let text = name.as_str().unwrap_or_default();
            let known = Capability::named(text).is_some();
            if !known && !unknown.iter().any(|seen| seen == text) {
                unknown.push(text.to_owned());
            }
            known
        });
    }
    unknown
}

fn check_memory_policy(policy: &Value) -> Result<(), Error> {
    use oci_spec::runtime::{MemoryPolicyFlagType, MemoryPolicyModeType};
    if policy.is_null() {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if text(&policy["mode"]).parse::<MemoryPolicyModeType>().is_err() {
        return Err(Error::MemoryPolicy { what: "mode", value: text(&policy["mode"]) });
    }
    for flag in policy["flags"].as_array().into_iter().flatten() {
        if text(flag).parse::<MemoryPolicyFlagType>().is_err() {
            return Err(Error::MemoryPolicy { what: "flag", value: text(flag) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(process: &str, linux: &str) -> Result<Loaded, Error> {
        let text = format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"r"}},"process":{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["a"]{process}}},"linux":{{{linux}}}}}"#
        );
        parse(text.as_bytes(), Path::new("config.json"))
    }

    #[test]
    fn capabilities_of_a_later_kernel_are_left_out() {
        let caps = r#","capabilities":{"bounding":["CAP_KILL","CAP_NEVER"],"effective":["CAP_NEVER"]}"#;
        let loaded = of(caps, "").unwrap();
        assert_eq!(loaded.warnings, ["ignoring unknown or unavailable capabilities: [CAP_NEVER]"]);
        let process = loaded.spec.process().clone().unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().as_ref().map(|set| set.len()), Some(1));
        assert!(of(r#","capabilities":{"bounding":["CAP_KILL"]}"#, "").unwrap().warnings.is_empty());
    }

    #[test]
    fn an_unknown_memory_policy_is_named() {
        for (policy, text) in [
            ("{}", "invalid memory policy mode \"\""),
            (r#"{"mode":"BIND"}"#, "invalid memory policy mode \"BIND\""),
            (r#"{"mode":"MPOL_BIND","nodes":"0","flags":["x"]}"#, "invalid memory policy flag \"x\""),
        ] {
            let error = of("", &format!(r#""memoryPolicy":{policy}"#)).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn what_is_no_spec_stays_an_error() {
        assert!(matches!(parse(b"{", Path::new("c")), Err(Error::Json { .. })));
        assert!(matches!(parse(b"7", Path::new("c")), Err(Error::Json { .. })));
        assert!(parse(br#"{"process":7,"linux":[]}"#, Path::new("c")).is_err());
    }
}
