//! How a shim tells of its container without knowing what it is called.
//!
//! Name, image and labels are the engine's. It writes them beside the container's record, and
//! again when the name changes; the shim reads them when it has something to tell.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::ContainerId;
use serde::{Deserialize, Serialize};

use super::{Event, Journal, Subject};

/// What an event of a container carries, and where it is appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teller {
    version: u32,
    /// The data root.
    root: PathBuf,
    /// Labels, image, name.
    attributes: BTreeMap<String, String>,
}

impl Teller {
    /// For a container below the data root `root`.
    pub fn new(root: &Path, attributes: BTreeMap<String, String>) -> Self {
        Self { version: VERSION, root: root.to_owned(), attributes }
    }

    /// Writes it into a container's record directory, whole or not at all.
    pub fn write(&self, record_dir: &Path) -> io::Result<()> {
        let temporary = record_dir.join(TEMPORARY);
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(&temporary, record_dir.join(FILE))
    }

    /// Whether a container has one: it has been started.
    pub fn is_there(record_dir: &Path) -> bool {
        record_dir.join(FILE).exists()
    }

    fn read(record_dir: &Path) -> Option<Self> {
        let teller: Self = serde_json::from_slice(&fs::read(record_dir.join(FILE)).ok()?).ok()?;
        (teller.version <= VERSION).then_some(teller)
    }
}

/// Tells of something that has happened to the container `id`. Nobody is there to tell when
/// that fails, and a container that was started by an older engine is not told of.
pub(crate) fn tell(record_dir: &Path, id: &ContainerId, action: &str, more: &[(&str, String)]) {
    let Some(mut teller) = Teller::read(record_dir) else { return };
    teller.attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let event = Event::new(Subject::Container, action, id.as_str(), teller.attributes);
    let _ = Journal::new(&teller.root).append(event);
}

const FILE: &str = "actor.json";
const TEMPORARY: &str = ".actor.json.new";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use testkit::TempDir;

    use super::super::Reader;
    use super::*;

    #[test]
    fn a_shim_tells_with_what_the_engine_wrote() {
        let root = TempDir::new();
        let id = ContainerId::parse("web").unwrap();
        // Nobody has written anything: nothing is told.
        tell(root.path(), &id, "health_status: healthy", &[]);
        let attributes = BTreeMap::from([("name".to_owned(), "web".to_owned())]);
        Teller::new(root.path(), attributes).write(root.path()).unwrap();
        tell(root.path(), &id, "exec_die", &[("exitCode", "3".to_owned())]);
        let mut reader = Reader::open(Journal::new(root.path()), None, None, false).unwrap();
        let told = reader.next_event(None).unwrap().unwrap();
        assert_eq!((told.action.as_str(), told.actor.id.as_str()), ("exec_die", "web"));
        assert_eq!(told.actor.attributes["name"], "web");
        assert_eq!(told.actor.attributes["exitCode"], "3");
        assert_eq!(reader.next_event(None).unwrap(), None);
    }
}
