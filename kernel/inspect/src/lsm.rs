//! What security modules say of a process: `lsm` list and `/proc/PID/attr`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::procfs::Process;
use crate::sourced::Sourced;

/// The active modules, in the order in which they are asked, from
/// `/sys/kernel/security/lsm`; `None` where securityfs is not mounted.
pub fn active() -> Option<Sourced<Vec<String>>> {
    let text = std::fs::read_to_string(LSM_LIST).ok()?;
    let names = text.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some(Sourced::new(names, LSM_LIST))
}

/// What there is of AppArmor where it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppArmorFacts {
    /// Whether `apparmor_parser` is installed, which loads profiles.
    pub parser: bool,
    /// Names of the profiles that are loaded, as far as we may know.
    pub profiles: Vec<String>,
}

impl AppArmorFacts {
    /// Looks; none where AppArmor is off.
    pub fn gather() -> Option<Self> {
        let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled").ok()?;
        let loaded = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
        let names = loaded.lines().filter_map(|line| Some(line.rsplit_once(" (")?.0.to_owned()));
        enabled
            .starts_with(b"Y")
            .then(|| Self { parser: Path::new("/sbin/apparmor_parser").exists(), profiles: names.collect() })
    }
}

impl Process {
    /// Its label: AppArmor's `docker-default (enforce)`, SELinux's context; `None`
    /// when no module gives labels.
    pub fn security_label(&self) -> Result<Option<Sourced<String>>, Error> {
        for name in ["attr/apparmor/current", "attr/current"] {
            match self.text(name) {
                Ok(text) => {
                    let label = text.value.trim_end_matches(['\0', '\n']).to_owned();
                    if !label.is_empty() {
                        return Ok(Some(Sourced::new(label, text.source)));
                    }
                }
                Err(error @ (Error::NoProcess { .. } | Error::Denied { .. })) => return Err(error),
                // EINVAL: the file exists and no module stands behind it.
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

const LSM_LIST: &str = "/sys/kernel/security/lsm";
