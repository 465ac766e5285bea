//! What is attached, kept on disk: section 4, "Attachments", and in the form of the reference
//! implementation's cache, so that its tools read it.
//!
//! An entry is written before the first plugin runs, without a result: so a runtime that is
//! killed between two plugins knows later that there is something to undo, and by which
//! configuration.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attachment::Attachment;
use crate::error::Error;
use crate::list::NetworkList;
use crate::names::{ContainerId, InterfaceName, NetworkName};

const KIND: &str = "cniCacheV1";

/// The directory of results.
#[derive(Clone, Debug)]
pub struct Results {
    directory: PathBuf,
}

/// One attachment, as it was asked for and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    kind: String,
    /// The container.
    pub container_id: ContainerId,
    config: String,
    /// The link.
    #[serde(rename = "ifName")]
    pub interface: InterfaceName,
    /// The network.
    #[serde(rename = "networkName")]
    pub network: NetworkName,
    /// The container's namespace.
    #[serde(rename = "netns", default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(rename = "cniArgs", default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<(String, String)>,
    #[serde(rename = "capabilityArgs", default, skip_serializing_if = "BTreeMap::is_empty")]
    capabilities: BTreeMap<String, Value>,
    /// What the chain gave; not there while it is being run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Where its plugins were.
    #[serde(rename = "pluginDirectories", default, skip_serializing_if = "Vec::is_empty")]
    pub plugin_directories: Vec<PathBuf>,
}

impl Entry {
    /// An attachment that is to be made.
    pub(crate) fn intended(
        list: &NetworkList,
        attachment: &Attachment,
        plugin_directories: &[PathBuf],
    ) -> Self {
        Self {
            kind: KIND.to_owned(),
            container_id: attachment.container.clone(),
            config: STANDARD.encode(list.to_bytes()),
            interface: attachment.interface.clone(),
            network: list.name.clone(),
            namespace: attachment.namespace.clone(),
            arguments: attachment.arguments.clone(),
            capabilities: attachment.capabilities.clone(),
            result: None,
            plugin_directories: plugin_directories.to_owned(),
        }
    }

    /// The attachment as it was asked for.
    pub fn attachment(&self) -> Attachment {
        Attachment {
            container: self.container_id.clone(),
            namespace: self.namespace.clone(),
            interface: self.interface.clone(),
            arguments: self.arguments.clone(),
            capabilities: self.capabilities.clone(),
        }
    }

    /// The configuration by which it was made: the one on disk may be another by now, or gone.
    pub fn list(&self) -> Option<NetworkList> {
        NetworkList::parse(&STANDARD.decode(&self.config).ok()?).ok()
    }
}

impl Results {
    /// The results below `directory`, which is made when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into().join("results") }
    }

    /// The entry, when there is one.
    pub fn get(
        &self,
        network: &NetworkName,
        container: &ContainerId,
        interface: &InterfaceName,
    ) -> Result<Option<Entry>, Error> {
        Self::read(&self.path(network, container, interface))
    }

    /// All entries, by file name.
    pub fn all(&self) -> Result<Vec<Entry>, Error> {
        let failed = |source| Error::File { operation: "list", path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                paths.push(entry.path());
            }
        }
        paths.sort();
        let entries = paths.iter().map(|path| Self::read(path));
        Ok(entries.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Writes an entry in one step.
    pub(crate) fn put(&self, entry: &Entry) -> Result<(), Error> {
        let path = self.path(&entry.network, &entry.container_id, &entry.interface);
        let damaged = |source| Error::Damaged { path: path.clone(), source };
        let bytes = serde_json::to_vec(entry).map_err(damaged)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let scratch = self.directory.join(format!(".{name}"));
        let written = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
            file.write_all(&bytes)?;
            fs::rename(&scratch, &path)
        };
        written().map_err(|source| Error::File { operation: "write", path: path.clone(), source })
    }

    /// Removes an entry; gone already is fine.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<(), Error> {
        let path = self.path(&entry.network, &entry.container_id, &entry.interface);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { operation: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn read(path: &Path) -> Result<Option<Entry>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { operation: "read", path: path.to_owned(), source }),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Damaged { path: path.to_owned(), source })
    }

    fn path(&self, network: &NetworkName, container: &ContainerId, interface: &InterfaceName) -> PathBuf {
        self.directory.join(format!("{network}-{container}-{interface}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_written_and_is_libcnis() {
        let home = testkit::TempDir::new();
        let results = Results::new(home.path());
        let list = br#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}"#;
        let list = NetworkList::parse(list).expect("valid");
        let attachment = Attachment {
            container: ContainerId::parse("c").expect("valid"),
            namespace: "/ns".to_owned(),
            interface: InterfaceName::parse("eth0").expect("valid"),
            arguments: vec![("K".to_owned(), "V".to_owned())],
            capabilities: [("ips".to_owned(), serde_json::json!(["10.0.0.1"]))].into(),
        };
        assert!(results.all().expect("listed").is_empty());
        let entry = Entry::intended(&list, &attachment, &["/opt/cni/bin".into()]);
        results.put(&entry).expect("written");
        let read = results.get(&list.name, &attachment.container, &attachment.interface).expect("read");
        assert_eq!(read.as_ref(), Some(&entry));
        assert_eq!(entry.attachment(), attachment);
        assert_eq!(entry.list().expect("kept"), list);
        let text = fs::read_to_string(home.join("results/n-c-eth0")).expect("there");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["kind"], &value["cniArgs"][0][1]), (&"cniCacheV1".into(), &"V".into()));
        assert_eq!(results.all().expect("listed").len(), 1);
        results.remove(&entry).expect("removed");
        results.remove(&entry).expect("removed again");
        assert!(results.all().expect("listed").is_empty());
    }
}
