//! What a container has changed of its image's files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use snapshot::{Change, ChangeKind};

use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;

/// What a container has changed, and what only starting it has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) own: Vec<Change>,
    pub(crate) placeholders: BTreeSet<PathBuf>,
}

impl Engine {
    /// What a container has changed, by path, as `docker diff` has it.
    pub fn changes(&self, record: &Record) -> Result<Vec<Change>, Error> {
        Ok(self.all_changes(record)?.own)
    }

    pub(crate) fn all_changes(&self, record: &Record) -> Result<Changes, Error> {
        let changes = self.snapshots()?.changes(&record.id).map_err(Error::snapshot(&record.name))?;
        Ok(without_placeholders(changes))
    }
}

/// Takes out what is only there to be mounted on, and the directories that changed with it.
/// `changes` is in the order of paths.
fn without_placeholders(changes: Vec<Change>) -> Changes {
    let is_placeholder = |change: &Change| {
        change.kind == ChangeKind::Added && PLACEHOLDERS.iter().any(|path| change.path == Path::new(path))
    };
    let (gone, kept): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_placeholder);
    let mut placeholders: BTreeSet<PathBuf> = gone.into_iter().map(|change| change.path).collect();
    let is_parent_only = |change: &Change, placeholders: &BTreeSet<PathBuf>| {
        let holds = |path: &Path| path != change.path && path.starts_with(&change.path);
        PARENTS.iter().any(|path| change.path == Path::new(path))
            && placeholders.iter().any(|path| holds(path))
            && !kept.iter().any(|other| holds(&other.path))
    };
    let mut own = Vec::with_capacity(kept.len());
    for change in &kept {
        if is_parent_only(change, &placeholders) {
            placeholders.insert(change.path.clone());
        } else {
            own.push(change.clone());
        }
    }
    Changes { own, placeholders }
}

/// What docker has in a layer of its own below the container's.
const PLACEHOLDERS: [&str; 10] = [
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// Directories that are changed for the sake of these alone.
const PARENTS: [&str; 2] = ["/dev", "/etc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(changes: &str, own: &str, placeholders: usize) {
        let changes = changes.split_whitespace().map(|text| {
            let kind = match &text[..1] {
                "A" => ChangeKind::Added,
                "C" => ChangeKind::Modified,
                _ => ChangeKind::Deleted,
            };
            Change { path: text[1..].into(), kind }
        });
        let found = without_placeholders(changes.collect());
        let shown: Vec<String> = found.own.iter().map(|change| change.path.display().to_string()).collect();
        assert_eq!(shown.join(" "), own);
        assert_eq!(found.placeholders.len(), placeholders);
    }

    #[test]
    fn what_starting_makes_is_not_the_containers() {
        check("A/.dockerenv A/dev A/etc A/etc/hosts A/proc A/sys", "", 6);
        check("C/etc A/etc/hosts A/etc/resolv.conf", "", 3);
        check("C/etc A/etc/hosts C/etc/passwd", "/etc /etc/passwd", 1);
        check("D/etc/hosts C/sys C/etc", "/etc/hosts /sys /etc", 0);
        check("A/proc A/prod", "/prod", 1);
    }
}
