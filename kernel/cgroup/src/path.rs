//! What `linux.cgroupsPath` means: OCI runtime-spec config-linux.md, "Cgroups Path".

use std::fmt;

use base::{Classified, ErrorClass};

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// We do, in the file system.
    #[default]
    Cgroupfs,
    /// systemd does, asked over D-Bus.
    Systemd,
    /// A user's systemd does.
    SystemdUser,
}

/// Where a container's cgroup shall be: clean, without `..`, never the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupPath {
    /// From each hierarchy's mount point; with a leading `/`.
    Absolute(String),
    /// Below the cgroup of the process that creates it (v2: below that one's parent, since
    /// a cgroup with processes cannot have controllers for its children).
    Relative(String),
    /// Of a unit of systemd.
    Unit {
        /// Which.
        unit: SystemdUnit,
        /// Its cgroup from each hierarchy's mount point; with a leading `/`.
        cgroup: String,
    },
}

/// The path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It would be the root of the hierarchies.
    #[error("cgroupsPath {raw:?} is the root cgroup: name a cgroup below it, as in /strake/web")]
    Root {
        /// As given.
        raw: String,
    },
    /// Not of the form that systemd's driver needs.
    #[error(
        "cgroupsPath {raw:?} is not of the form slice:prefix:name, which the systemd cgroup driver needs"
    )]
    NotSystemd {
        /// As given.
        raw: String,
    },
    /// A slice's name is malformed.
    #[error(
        "slice {slice:?} is not a systemd slice: its name ends with .slice and has no empty part between dashes"
    )]
    Slice {
        /// As given.
        slice: String,
    },
}

impl Classified for PathError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl CgroupPath {
    /// Reads `linux.cgroupsPath`; without one the container's id is the relative path.
    /// `..` cannot climb.
    pub fn parse(raw: Option<&str>, id: &str, driver: Driver) -> Result<Self, PathError> {
        let given = raw.filter(|raw| !raw.is_empty());
        let slice = match driver {
            Driver::Cgroupfs => None,
            Driver::Systemd => Some("system.slice"),
            Driver::SystemdUser => Some("user.slice"),
        };
        if let Some(slice) = slice {
            let default = format!("{slice}:strake:{id}");
            let unit = SystemdUnit::parse_in(given.unwrap_or(&default), slice)?;
            let cgroup = unit.cgroup()?;
            return Ok(Self::Unit { unit, cgroup });
        }
        let raw = given.unwrap_or(id);
        let clean = clean(raw);
        if clean.is_empty() {
            return Err(PathError::Root { raw: raw.to_owned() });
        }
        Ok(if raw.starts_with('/') { Self::Absolute(format!("/{clean}")) } else { Self::Relative(clean) })
    }

    /// The unit's cgroup below that of the systemd that makes it.
    #[must_use]
    pub fn in_manager(self, root: &str) -> Self {
        match self {
            Self::Unit { unit, cgroup } => {
                let cgroup = format!("{}{cgroup}", root.trim_end_matches('/'));
                Self::Unit { unit, cgroup }
            }
            path => path,
        }
    }

    /// The path from the mount point for a hierarchy in which this process is in `own`.
    pub(crate) fn below(&self, own: &str) -> String {
        match self {
            Self::Absolute(path) | Self::Unit { cgroup: path, .. } => path.clone(),
            Self::Relative(path) => format!("{}/{path}", own.trim_end_matches('/')),
        }
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(path) | Self::Relative(path) | Self::Unit { cgroup: path, .. } => {
                f.write_str(path)
            }
        }
    }
}

/// Without empty parts, `.` and `..`, as if `/` were as high as one gets.
fn clean(raw: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in raw.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `slice:prefix:name`, as the systemd driver of runc takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemdUnit {
    /// The slice that it is in.
    pub slice: String,
    /// The unit's name, with `.scope` or `.slice`.
    pub unit: String,
}

impl SystemdUnit {
    /// Reads `slice:prefix:name`. An empty slice is `system.slice`; a name that ends with
    /// `.slice` is a slice itself, any other becomes the scope `prefix-name.scope`.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        Self::parse_in(raw, "system.slice")
    }

    /// As [`Self::parse`]; an empty slice is this one.
    fn parse_in(raw: &str, default: &str) -> Result<Self, PathError> {
        let parts: Vec<&str> = raw.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(PathError::NotSystemd { raw: raw.to_owned() });
        };
        if name.is_empty() || name.contains('/') || prefix.contains('/') {
            return Err(PathError::NotSystemd { raw: raw.to_owned() });
        }
        let slice = if slice.is_empty() { default } else { slice };
        let unit = match (name.ends_with(".slice"), prefix) {
            (true, _) => name.to_owned(),
            (false, "") => format!("{name}.scope"),
            (false, prefix) => format!("{prefix}-{name}.scope"),
        };
        Ok(Self { slice: slice.to_owned(), unit })
    }

    /// Whether it is a slice, which has no processes of its own.
    pub fn is_slice(&self) -> bool {
        self.unit.ends_with(".slice")
    }

    /// The cgroup that systemd gives it: `a-b.slice` is below `a.slice`.
    pub fn cgroup(&self) -> Result<String, PathError> {
        let invalid = || PathError::Slice { slice: self.slice.clone() };
        let name = self.slice.strip_suffix(".slice").ok_or_else(invalid)?;
        if name == "-" {
            return Ok(format!("/{}", self.unit));
        }
        if name.contains('/') || name.split('-').any(str::is_empty) {
            return Err(invalid());
        }
        let mut path = String::new();
        let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            path.push('/');
            path.push_str(&name[..end]);
            path.push_str(".slice");
        }
        Ok(format!("{path}/{}", self.unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: Option<&str>, own: &str, expected: &str) {
        let path = CgroupPath::parse(raw, "web", Driver::Cgroupfs).unwrap();
        assert_eq!(path.below(own), expected, "{raw:?}");
    }

    #[test]
    fn absolute_is_from_the_mount() {
        check(Some("/strake/web"), "/user.slice", "/strake/web");
        check(Some("//a/./b/"), "/x", "/a/b");
    }

    #[test]
    fn relative_is_below_the_creator() {
        check(Some("a/b"), "/user.slice", "/user.slice/a/b");
        check(Some("a"), "/", "/a");
        check(None, "/session", "/session/web");
        check(Some(""), "/session", "/session/web");
    }

    #[test]
    fn dots_cannot_climb() {
        check(Some("../../a"), "/own", "/own/a");
        check(Some("/a/../../../b"), "/own", "/b");
        for root in ["/", "/..", "/a/..", "."] {
            let result = CgroupPath::parse(Some(root), "web", Driver::Cgroupfs);
            assert!(matches!(result, Err(PathError::Root { .. })), "{root}");
        }
    }

    #[test]
    fn systemd_names() {
        for (raw, cgroup) in [
            ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
            ("a-b-c.slice:cri:x", "/a.slice/a-b.slice/a-b-c.slice/cri-x.scope"),
            ("-.slice::x", "/x.scope"),
            (":p:y.slice", "/system.slice/y.slice"),
        ] {
            assert_eq!(SystemdUnit::parse(raw).unwrap().cgroup().unwrap(), cgroup, "{raw}");
        }
        assert!(SystemdUnit::parse("/a/b").is_err());
        assert!(SystemdUnit::parse("a--b.slice:p:n").unwrap().cgroup().is_err());
        assert!(SystemdUnit::parse("a:p:n").unwrap().cgroup().is_err());
        let path = CgroupPath::parse(Some("a.slice:p:n"), "web", Driver::Systemd).unwrap();
        assert_eq!(path.below("/own"), "/a.slice/p-n.scope");
        let path = CgroupPath::parse(None, "web", Driver::SystemdUser).unwrap().in_manager("/user@1.service");
        assert_eq!(path.to_string(), "/user@1.service/user.slice/strake-web.scope");
        let path = CgroupPath::parse(Some(":p:n"), "web", Driver::SystemdUser).unwrap();
        assert_eq!(path.to_string(), "/user.slice/p-n.scope");
    }
}
