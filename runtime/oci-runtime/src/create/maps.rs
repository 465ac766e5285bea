//! Id maps of a user namespace: written by us, or by the helpers that may map more ids for a user
//! than his own (`newuidmap(1)`, `newgidmap(1)`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use sys::Namespace;
use sys::idmap::{IdMaps, IdRange, write_maps};
use sys::procfs::Procfs;

use crate::error::Error;
use crate::plan::Plan;

/// A time namespace with offsets belongs to the user namespace of who makes it, and is made before init:
/// that of the container must be there then.
pub(super) fn namespace_for_clocks(plan: &Plan, setgroups_denied: bool) -> Result<Option<OwnedFd>, Error> {
    let wanted = !plan.time_offsets.is_empty() && plan.namespaces.makes(Namespace::User);
    match &plan.id_maps {
        Some(maps) if wanted && !setgroups_denied && sys::user::effective_uid() == 0 => {
            let made = sys::idmap::user_namespace(maps);
            made.map(Some).map_err(Error::system(MAPS))
        }
        _ => Ok(None),
    }
}

/// Writes the maps of the namespace that `pid` was made in.
pub(super) fn write(pid: i32, maps: &IdMaps, setgroups_denied: bool) -> Result<(), Error> {
    let failed = Error::system(MAPS);
    let proc = Procfs::host().map_err(Error::system("open /proc"))?;
    if sys::user::effective_uid() == 0 || is_own_alone(maps) {
        return write_maps(&proc, pid, maps, setgroups_denied).map_err(failed);
    }
    for (program, ranges) in [("newuidmap", &maps.uids), ("newgidmap", &maps.gids)] {
        help(program, pid, ranges)?;
    }
    Ok(())
}

/// What everybody may map: his own user and group.
fn is_own_alone(maps: &IdMaps) -> bool {
    let own = |ranges: &[IdRange], id: u32| matches!(ranges, [only] if only.outside == id && only.count == 1);
    own(&maps.uids, sys::user::effective_uid()) && own(&maps.gids, sys::user::effective_gid())
}

fn help(program: &'static str, pid: i32, ranges: &[IdRange]) -> Result<(), Error> {
    let output = Command::new(program).args(arguments(pid, ranges)).stdin(Stdio::null()).output();
    let output = output.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::MapHelper {
            program,
            said: "it is not installed: install Debian's uidmap, or map your own id alone".to_owned(),
        },
        _ => Error::path("run", Path::new(program))(source),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::MapHelper { program, said })
}

/// The process, then inside, outside and count of each range.
fn arguments(pid: i32, ranges: &[IdRange]) -> Vec<String> {
    let numbers = ranges.iter().flat_map(|range| [range.inside, range.outside, range.count]);
    std::iter::once(pid.to_string()).chain(numbers.map(|number| number.to_string())).collect()
}

const MAPS: &str = "write the id maps of the user namespace (are the host ids inside the runtime's own map?)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_arguments() {
        let range = |inside, outside, count| IdRange { inside, outside, count };
        assert_eq!(
            arguments(7, &[range(0, 1000, 1), range(1, 100_000, 65_536)]),
            ["7", "0", "1000", "1", "1", "100000", "65536"]
        );
    }
}
