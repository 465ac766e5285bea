//! SELinux: the labels of a container that asks for some by `--security-opt label=…`.
//!
//! As docker without `--selinux-enabled`: who asks for nothing runs as the engine does, and on a host
//! without SELinux the options are ignored. The policy names the labels of containers in general;
//! the pair of categories keeps containers from each other.

use std::fs;
use std::path::Path;

use base::ContainerId;

use crate::request::{InvalidOption, SecurityRequest};

/// The contexts that the host's policy has for containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelinuxHost {
    /// Of processes.
    pub process: String,
    /// Of files.
    pub file: String,
}

/// What a container is labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelinuxLabels {
    /// Its processes; as the engine's own without.
    pub process: Option<String>,
    /// Its mounts.
    pub mount: String,
}

/// Whether this kernel decides by labels.
pub fn selinux_is_on() -> bool {
    let own = || fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    Path::new("/sys/fs/selinux/enforce").exists() && own().trim_end_matches(['\0', '\n']) != "kernel"
}

/// Looks at the host: nothing where SELinux is off, or its policy knows no containers.
pub(crate) fn look() -> Option<SelinuxHost> {
    if !selinux_is_on() {
        return None;
    }
    let config = fs::read_to_string("/etc/selinux/config").unwrap_or_default();
    let policy = value_of(&config, "SELINUXTYPE").unwrap_or_else(|| "targeted".to_owned());
    let contexts = Path::new("/etc/selinux").join(policy).join("contexts/lxc_contexts");
    host_of(&fs::read_to_string(contexts).ok()?)
}

fn host_of(contexts: &str) -> Option<SelinuxHost> {
    Some(SelinuxHost { process: value_of(contexts, "process")?, file: value_of(contexts, "file")? })
}

/// `KEY = "VALUE"`, with or without quotes.
fn value_of(text: &str, key: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// The labels that a container has on this host, which is looked at only for one that asks.
pub(crate) fn labels_here(
    security: &SecurityRequest,
    id: &ContainerId,
) -> Result<Option<SelinuxLabels>, InvalidOption> {
    let host = if security.labels.is_empty() { None } else { look() };
    labels(security, host.as_ref(), id)
}

/// The labels of a container; none for one that did not ask.
pub(crate) fn labels(
    security: &SecurityRequest,
    host: Option<&SelinuxHost>,
    id: &ContainerId,
) -> Result<Option<SelinuxLabels>, InvalidOption> {
    let Some(host) = host.filter(|_| !security.labels.is_empty()) else { return Ok(None) };
    let wrong = |text: &str, why| InvalidOption::new("--security-opt label", text, why);
    let context =
        |text: &str| Context::parse(text).ok_or_else(|| wrong(text, "the host's policy has no such context"));
    let (mut process, mut file) = (context(&host.process)?, context(&host.file)?);
    let level = categories(id);
    (process.level, file.level) = (level.clone(), level);
    for option in &security.labels {
        if option == "disable" {
            PRIVILEGED_LEVEL.clone_into(&mut file.level);
            return Ok(Some(SelinuxLabels { process: None, mount: file.text() }));
        }
        let why = "bad label option: use disable, or one of user, role, type, level, filetype and a value, as in type:spc_t";
        let (part, value) = option.split_once(':').ok_or_else(|| wrong(option, why))?;
        let value = || value.to_owned();
        match part {
            "user" => (process.user, file.user) = (value(), value()),
            "level" => (process.level, file.level) = (value(), value()),
            "role" => process.role = value(),
            "type" => process.kind = value(),
            "filetype" => file.kind = value(),
            _ => return Err(wrong(option, why)),
        }
    }
    Ok(Some(SelinuxLabels { process: Some(process.text()), mount: file.text() }))
}

/// `USER:ROLE:TYPE:LEVEL`; a level has colons of its own.
struct Context {
    user: String,
    role: String,
    kind: String,
    level: String,
}

impl Context {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        Some(Self {
            user: parts.next()?,
            role: parts.next()?,
            kind: parts.next()?,
            level: parts.next().unwrap_or_default(),
        })
    }

    fn text(&self) -> String {
        format!("{}:{}:{}:{}", self.user, self.role, self.kind, self.level)
    }
}

/// Two of the 1024 categories, which follow from the id: the same with each start.
fn categories(id: &ContainerId) -> String {
    let digest = base::Digest::sha256_of(id.as_str().as_bytes());
    let number = |at: usize| {
        let digits = digest.hex().get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        digits.unwrap_or_default() % CATEGORIES
    };
    let (one, other) = (number(0), number(4));
    let other = if one == other { (other + 1) % CATEGORIES } else { other };
    format!("s0:c{},c{}", one.min(other), one.max(other))
}

const CATEGORIES: u16 = 1024;
/// What no confined container shares: its files are those of one that is not confined.
const PRIVILEGED_LEVEL: &str = "s0:c1022,c1023";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], expected: &str) {
        let contexts = "process = \"system_u:system_r:container_t:s0\"\ncontent = \"x\"\n\
                        file = \"system_u:object_r:container_file_t:s0\"\n";
        let host = host_of(contexts).expect("contexts");
        let labels = options.iter().map(|option| (*option).to_owned()).collect();
        let security = SecurityRequest { labels, ..SecurityRequest::default() };
        let id = ContainerId::parse("one").expect("id");
        let text = match labels_text(&security, Some(&host), &id) {
            Ok(text) | Err(text) => text,
        };
        assert!(text.starts_with(expected), "{options:?}: {text}");
        assert_eq!(labels_text(&security, None, &id).as_deref(), Ok("none"), "without SELinux");
    }

    fn labels_text(
        security: &SecurityRequest,
        host: Option<&SelinuxHost>,
        id: &ContainerId,
    ) -> Result<String, String> {
        let found = labels(security, host, id).map_err(|error| error.to_string())?;
        Ok(found.map_or_else(
            || "none".to_owned(),
            |labels| format!("{} {}", labels.process.as_deref().unwrap_or("-"), labels.mount),
        ))
    }

    #[test]
    fn labels_as_docker_makes_them() {
        let own = categories(&ContainerId::parse("one").expect("id"));
        let with = |process: &str, file: &str| {
            format!("system_u:system_r:{process}:{own} system_u:object_r:{file}:{own}")
        };
        check(&[], "none");
        check(&["type:spc_t"], &with("spc_t", "container_file_t"));
        check(&["filetype:svirt_home_t"], &with("container_t", "svirt_home_t"));
        check(
            &["level:s0:c1,c2", "user:me_u", "role:mine_r"],
            "me_u:mine_r:container_t:s0:c1,c2 me_u:object_r:container_file_t:s0:c1,c2",
        );
        check(&["type:a_t", "disable"], "- system_u:object_r:container_file_t:s0:c1022,c1023");
        check(&["frob:x"], "--security-opt label \"frob:x\" is not valid: bad label option");
        check(&["frob"], "--security-opt label \"frob\" is not valid: bad label option");
    }

    #[test]
    fn two_categories_that_differ() {
        for number in 0..200 {
            let id = ContainerId::parse(&format!("c{number}")).expect("id");
            let level = categories(&id);
            let pair = level.strip_prefix("s0:c").and_then(|rest| rest.split_once(",c")).expect("a pair");
            let (low, high): (u16, u16) = (pair.0.parse().expect("low"), pair.1.parse().expect("high"));
            assert!(low < high && high < CATEGORIES, "{level}");
            assert_eq!(level, categories(&id));
        }
    }
}
