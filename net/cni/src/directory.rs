//! A directory of networks' configurations, as runtimes share it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::list::{InvalidList, NetworkList, Plugin};

/// Where configurations are by custom.
pub const DEFAULT_DIRECTORY: &str = "/etc/cni/net.d";

/// A directory of configurations. It need not exist.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The network of that name: the first list that has it, by file name, else the first single
    /// configuration.
    pub fn find(&self, name: &str) -> Result<NetworkList, Error> {
        let lists = self.files(&["conflist"])?;
        let singles = self.files(&["conf", "json"])?;
        for path in lists.iter().chain(&singles) {
            let list = Self::read(path)?;
            if list.name.as_str() == name {
                return Ok(list);
            }
        }
        Err(Error::NoSuchNetwork { name: name.to_owned(), directory: self.path.clone() })
    }

    /// All networks that can be read, with their files and by these; of two with one name the
    /// first counts.
    pub fn found(&self) -> Result<Vec<(PathBuf, NetworkList)>, Error> {
        let mut all: Vec<(PathBuf, NetworkList)> = Vec::new();
        for path in self.files(&["conflist"])?.iter().chain(&self.files(&["conf", "json"])?) {
            if let Ok(list) = Self::read(path)
                && !all.iter().any(|(_, known)| known.name == list.name)
            {
                all.push((path.clone(), list));
            }
        }
        Ok(all)
    }

    /// One configuration: a list, or a single plugin's by its extension.
    pub fn read(path: &Path) -> Result<NetworkList, Error> {
        let bytes = fs::read(path).map_err(|source| Error::File {
            operation: "read",
            path: path.to_owned(),
            source,
        })?;
        let invalid = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Config { path, source }
        };
        let is_list = path.extension().is_none_or(|extension| extension != "conf" && extension != "json");
        if !is_list {
            return NetworkList::parse_single(&bytes).map_err(invalid(path));
        }
        let mut list = NetworkList::parse(&bytes).map_err(invalid(path))?;
        // Since 1.1.0: more plugins in files beside it.
        if let Some(parent) = path.parent()
            && !list.load_only_inlined_plugins
        {
            for path in Self::new(parent.join(list.name.as_str())).files(&["conf"])? {
                let bytes = fs::read(&path).map_err(|source| Error::File {
                    operation: "read",
                    path: path.clone(),
                    source,
                })?;
                list.plugins.push(Plugin::parse(&bytes).map_err(invalid(&path))?);
            }
        }
        if list.is_empty() {
            return Err(invalid(path)(InvalidList::Empty));
        }
        Ok(list)
    }

    /// The files with one of these extensions, by name.
    fn files(&self, extensions: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| Error::File { operation: "list", path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if extensions.contains(&extension) && !path.is_dir() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_the_name_inside() {
        let home = testkit::TempDir::new();
        let directory = Directory::new(home.path());
        let write = |name: &str, text: &str| fs::write(home.join(name), text).expect("written");
        assert!(directory.find("a").expect_err("none").to_string().contains("no CNI network \"a\""));
        write("20-b.conf", r#"{"cniVersion":"0.4.0","name":"b","type":"ptp"}"#);
        write("10-a.conflist", r#"{"cniVersion":"1.1.0","name":"a"}"#);
        assert!(directory.find("b").is_err(), "a list without plugins");
        fs::create_dir(home.join("a")).expect("made");
        write("a/2.conf", r#"{"type":"portmap"}"#);
        write("a/1.conf", r#"{"type":"bridge"}"#);
        let kinds = |name: &str| {
            let list = directory.find(name).expect("found");
            list.plugins.iter().map(|plugin| plugin.kind.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            (kinds("a"), kinds("b")),
            (vec!["bridge".to_owned(), "portmap".to_owned()], vec!["ptp".to_owned()])
        );
        assert_eq!(directory.found().expect("listed").len(), 2);
        assert!(Directory::new(home.join("nowhere")).found().expect("listed").is_empty());
    }
}
