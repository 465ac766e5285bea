//! Namespaces that are joined by path: which they are, and when each can be joined.

use std::os::fd::OwnedFd;

use sys::{Namespace, NamespaceSet};

use crate::error::Error;
use crate::plan::Plan;
use crate::state::ContainerRecord;

/// Namespaces that are joined, by when.
pub(super) struct Joins {
    pub(super) user: Option<OwnedFd>,
    pub(super) pid: Option<OwnedFd>,
    /// Before the user namespace that is joined or made, which does not own them.
    pub(super) first: Vec<(Namespace, OwnedFd)>,
    /// By init.
    pub(super) later: Vec<(Namespace, OwnedFd)>,
}

impl Joins {
    pub(super) fn of(mut all: Vec<(Namespace, OwnedFd)>, plan: &Plan) -> Self {
        let at = all.iter().position(|(kind, _)| *kind == Namespace::User);
        let user = at.map(|at| all.remove(at).1);
        let owner = user.as_ref().and_then(|user| sys::namespace::id(user).ok());
        // What cannot be asked for its owner belongs to somebody above us.
        let owned = |fd: &OwnedFd| {
            let its = sys::namespace::owner(fd).and_then(sys::namespace::id).ok();
            its.is_some() && its == owner
        };
        let has_user = plan.namespaces.has(Namespace::User);
        let (mut first, mut later): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, fd)| has_user && !owned(fd));
        // It is for children only, so it can come early, and only init's maker can do it.
        let at = later.iter().position(|(kind, _)| *kind == Namespace::Pid);
        let pid = at.map(|at| later.remove(at).1);
        // Paths mean something else after it.
        first.sort_by_key(|(kind, _)| *kind == Namespace::Mount);
        Self { user, pid, first, later }
    }
}

/// Opens what is joined, and proves that it is what the spec says.
pub(super) fn open_joins(plan: &Plan) -> Result<Vec<(Namespace, OwnedFd)>, Error> {
    let mut joins = Vec::new();
    for (kind, path) in &plan.namespaces.join {
        let fd = sys::namespace::open(path).map_err(Error::path("open the namespace", path))?;
        let found = sys::namespace::kind(&fd).map_err(Error::path("look at the namespace", path))?;
        if found != *kind {
            return Err(crate::plan::SpecError::Invalid {
                field: "linux.namespaces path",
                value: path.display().to_string(),
                hint: "the file is a namespace of another type",
            }
            .into());
        }
        joins.push((*kind, fd));
    }
    Ok(joins)
}

/// A namespace that is joined may be our own under another name, and its kernel
/// parameters the host's.
pub(super) fn check_sysctls(plan: &Plan, joins: &[(Namespace, OwnedFd)]) -> Result<(), Error> {
    for (path, _) in &plan.sysctl {
        let owner = crate::plan::sysctl_owner(path);
        let Some((kind, joined)) = joins.iter().find(|(kind, _)| Some(*kind) == owner) else { continue };
        let look = Error::system("look at a namespace");
        let same = sys::namespace::open_of(None, *kind).and_then(|own| {
            let (own, joined) = (rustix::fs::fstat(&own)?, rustix::fs::fstat(joined)?);
            Ok((own.st_dev, own.st_ino) == (joined.st_dev, joined.st_ino))
        });
        if same.map_err(look)? {
            return Err(crate::plan::SpecError::Conflict {
                what: format!("sysctl {}", path.display()),
                hint: "the namespace that linux.namespaces joins for it is the runtime's own: make a new one",
            }
            .into());
        }
    }
    Ok(())
}

/// The namespaces of a record that are not the runtime's.
pub(crate) fn namespaces_of(record: &ContainerRecord) -> NamespaceSet {
    Namespace::ALL.into_iter().filter(|kind| record.namespaces.contains_key(kind.proc_name())).collect()
}
