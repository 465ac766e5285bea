//! Capabilities and `--security-opt`.

use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// The system call filter asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompRequest {
    /// The default policy for the container's capabilities.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in docker's or the OCI's form, as JSON text.
    Profile(String),
}

/// The AppArmor profile asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppArmor {
    /// The host's default.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A loaded profile.
    Profile(String),
}

/// One `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityOption {
    /// `no-new-privileges[=true|false]`.
    NoNewPrivileges(bool),
    /// `seccomp=unconfined`.
    SeccompUnconfined,
    /// `seccomp=FILE`.
    SeccompFile(String),
    /// `apparmor=PROFILE`.
    AppArmor(AppArmor),
    /// `systempaths=unconfined`.
    SystemPathsUnconfined,
    /// `label=…`: one part of SELinux's labels, or none at all.
    Label(String),
}

impl SecurityOption {
    /// Reads `KEY[=VALUE]`, or `KEY:VALUE` as old docker wrote it.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why: &'static str| InvalidOption::new("--security-opt", text, why);
        let (key, value) = match text.split_once(['=', ':']) {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => Ok(Self::NoNewPrivileges(true)),
            ("no-new-privileges", Some("false")) => Ok(Self::NoNewPrivileges(false)),
            ("seccomp", Some("unconfined")) => Ok(Self::SeccompUnconfined),
            ("seccomp", Some(file)) if !file.is_empty() => Ok(Self::SeccompFile(file.to_owned())),
            ("apparmor", Some("unconfined")) => Ok(Self::AppArmor(AppArmor::Unconfined)),
            ("apparmor", Some(profile)) if !profile.is_empty() => {
                Ok(Self::AppArmor(AppArmor::Profile(profile.to_owned())))
            }
            ("systempaths", Some("unconfined")) => Ok(Self::SystemPathsUnconfined),
            ("label", Some(value)) if !value.is_empty() => Ok(Self::Label(value.to_owned())),
            _ => Err(wrong(
                "use seccomp=unconfined, seccomp=FILE, no-new-privileges, apparmor=PROFILE, label=disable, label=KEY:VALUE or systempaths=unconfined",
            )),
        }
    }
}

/// Reads a capability's name in any case, with or without `CAP_`; or `ALL`.
pub fn capability_name(option: &'static str, text: &str) -> Result<String, InvalidOption> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" {
        return Ok("ALL".to_owned());
    }
    if !CAPABILITIES.contains(&name) {
        let why = "there is no such capability; use a name of capabilities(7), as in NET_ADMIN, or ALL";
        return Err(InvalidOption::new(option, text, why));
    }
    Ok(format!("CAP_{name}"))
}

pub(crate) use sys::capability::NAMES as CAPABILITIES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_capabilities() {
        for (text, name) in
            [("net_admin", "CAP_NET_ADMIN"), ("CAP_CHOWN", "CAP_CHOWN"), ("all", "ALL"), ("cap_all", "ALL")]
        {
            assert_eq!(capability_name("--cap-add", text).as_deref(), Ok(name));
        }
        assert!(capability_name("--cap-add", "frob").is_err());
    }

    #[test]
    fn reads_options() {
        let read = |text| SecurityOption::parse(text).unwrap();
        assert_eq!(read("no-new-privileges"), SecurityOption::NoNewPrivileges(true));
        assert_eq!(read("no-new-privileges:true"), SecurityOption::NoNewPrivileges(true));
        assert_eq!(read("seccomp=unconfined"), SecurityOption::SeccompUnconfined);
        assert_eq!(read("seccomp=/a/b.json"), SecurityOption::SeccompFile("/a/b.json".to_owned()));
        assert_eq!(read("apparmor:x"), SecurityOption::AppArmor(AppArmor::Profile("x".to_owned())));
        assert_eq!(read("label=disable"), SecurityOption::Label("disable".to_owned()));
        assert_eq!(read("label=level:s0:c1,c2"), SecurityOption::Label("level:s0:c1,c2".to_owned()));
        assert_eq!(read("label:type:spc_t"), SecurityOption::Label("type:spc_t".to_owned()));
        assert!(SecurityOption::parse("label").is_err());
        assert!(SecurityOption::parse("frob").is_err());
        assert!(SecurityOption::parse("seccomp=").is_err());
    }
}
