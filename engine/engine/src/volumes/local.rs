//! Options of docker's volume driver `local`: what is mounted instead of a directory. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::request::InvalidOption;

/// A file system that is mounted for each container that has the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMount {
    /// Its type: `tmpfs`, `ext4`, `nfs`…
    pub fs_type: String,
    /// The device, or what the type takes for one.
    pub source: String,
    /// Options as `mount(8)` knows them.
    pub options: Vec<String>,
}

impl DeviceMount {
    /// Whether its files are in memory, and so last as long as a container has them.
    pub fn is_memory(&self) -> bool {
        matches!(self.fs_type.as_str(), "tmpfs" | "ramfs")
    }
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A directory of ours.
    Directory,
    /// A directory of the host.
    Bind {
        /// Which.
        path: PathBuf,
        /// Whether it is read-only for all.
        read_only: bool,
    },
    /// A file system.
    Device(DeviceMount),
}

/// Refuses what docker's driver refuses.
pub(crate) fn validate(options: &BTreeMap<String, String>) -> Result<(), InvalidOption> {
    let wrong = |key: &str, value: &str, why: String| {
        Err(InvalidOption::new("--opt", &format!("{key}={value}"), why))
    };
    for (key, value) in options {
        match key.as_str() {
            "type" | "device" | "o" => {}
            "size" => {
                let why =
                    "quota size requested but no quota support: limit a tmpfs by type=tmpfs and o=size=…";
                return wrong(key, value, why.to_owned());
            }
            _ => return wrong(key, value, format!("invalid option: {key:?}; use type, device and o")),
        }
    }
    for (key, needed) in [("type", "device"), ("device", "type"), ("o", "device"), ("o", "type")] {
        if let Some(value) = options.get(key).filter(|_| !options.contains_key(needed)) {
            return wrong(key, value, format!("missing required option: {needed:?}"));
        }
    }
    if let Backing::Bind { path, .. } = backing(options)
        && !path.is_absolute()
    {
        let why = "a directory of the host is named by an absolute path";
        return wrong("device", &path.display().to_string(), why.to_owned());
    }
    Ok(())
}

/// What the options ask for.
pub(crate) fn backing(options: &BTreeMap<String, String>) -> Backing {
    let option = |key: &str| options.get(key).map_or("", String::as_str);
    if option("device").is_empty() && option("type").is_empty() {
        return Backing::Directory;
    }
    let mounted = option("o").split(',').filter(|option| !option.is_empty());
    let mounted: Vec<String> = mounted.map(str::to_owned).collect();
    let has = |name: &str| mounted.iter().any(|option| option == name);
    if has("bind") || has("rbind") {
        return Backing::Bind { path: option("device").into(), read_only: has("ro") };
    }
    Backing::Device(DeviceMount {
        fs_type: option("type").to_owned(),
        source: option("device").to_owned(),
        options: mounted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> BTreeMap<String, String> {
        let entries = text.split(' ').filter_map(|entry| entry.split_once('='));
        entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn options_decide_what_is_mounted() {
        assert_eq!(backing(&options("")), Backing::Directory);
        let bind = |path: &str, read_only| Backing::Bind { path: path.into(), read_only };
        assert_eq!(backing(&options("type=none device=/srv o=bind")), bind("/srv", false));
        assert_eq!(backing(&options("type=none device=/srv o=bind,ro")), bind("/srv", true));
        let memory = DeviceMount {
            fs_type: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            options: vec!["size=1m".to_owned(), "uid=7".to_owned()],
        };
        assert!(memory.is_memory());
        assert_eq!(backing(&options("type=tmpfs device=tmpfs o=size=1m,uid=7")), Backing::Device(memory));
    }

    #[test]
    fn refuses_in_dockers_words() {
        for (text, why) in [
            ("frob=1", "invalid option: \"frob\""),
            ("type=tmpfs", "missing required option: \"device\""),
            ("device=x", "missing required option: \"type\""),
            ("o=bind", "missing required option: \"device\""),
            ("size=1g", "quota size requested but no quota support"),
            ("type=none device=srv o=bind", "absolute path"),
        ] {
            let error = validate(&options(text)).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(validate(&options("type=tmpfs device=tmpfs o=size=1m")).is_ok());
    }
}
