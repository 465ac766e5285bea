//! What an ordinary user needs to run containers.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process::program;

/// What there is for users that are not root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootlessFacts {
    /// Users with a range in `/etc/subuid`.
    pub subuid_users: Vec<String>,
    /// Users with a range in `/etc/subgid`.
    pub subgid_users: Vec<String>,
    /// `newuidmap` with the right to write maps.
    pub newuidmap: Option<String>,
    /// `newgidmap` with the right to write maps.
    pub newgidmap: Option<String>,
    /// Why one that is there has not that right.
    pub powerless: Vec<String>,
}

impl RootlessFacts {
    pub(super) fn gather() -> Self {
        let mut powerless = Vec::new();
        let mut mapper = |name: &str| {
            let path = program(name)?;
            if has_power(Path::new(&path)) {
                return Some(path);
            }
            powerless.push(format!("{path} is neither set-user-id root nor has file capabilities"));
            None
        };
        let (newuidmap, newgidmap) = (mapper("newuidmap"), mapper("newgidmap"));
        Self {
            subuid_users: users("/etc/subuid"),
            subgid_users: users("/etc/subgid"),
            newuidmap,
            newgidmap,
            powerless,
        }
    }
}

fn users(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('#')).collect();
    names.dedup();
    names
}

fn has_power(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    let set_user_id = metadata.uid() == 0 && metadata.permissions().mode() & 0o4000 != 0;
    set_user_id
        || rustix::fs::getxattr(path, "security.capability", &mut [0u8; 64]).is_ok_and(|length| length > 0)
}
