//! Removing a cgroup with everything below it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::processes::{children, collect, wait_for_event};

impl Cgroup {
    /// Removes it in every hierarchy, with the cgroups below it. Killed processes get
    /// time to go; one that is alive after that is an error. A hierarchy in which it does
    /// not exist counts as done, so it can be called again.
    pub fn remove(&self) -> Result<(), Error> {
        let deadline = Instant::now() + REMOVE_LIMIT;
        let mut first_error = None;
        // All are tried: what can go, goes.
        for dir in self.dirs() {
            if let Err(error) = remove_tree(dir, deadline) {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Removes its parents as far up as they are empty, `top` being the highest: a path from
    /// the mount points, such as `/strake`, that belongs to the caller. One that is in use,
    /// or outside of `top`, stays.
    pub fn remove_empty_parents(&self, top: &str) {
        for dir in self.dirs() {
            let Some(mount_point) = self.mount_point_of(dir) else { continue };
            let top = mount_point.join(top.trim_matches('/'));
            if top == mount_point {
                continue;
            }
            for parent in dir.ancestors().skip(1).take_while(|parent| parent.starts_with(&top)) {
                // EBUSY: others are in it, and so in its parents.
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
    }
}

/// Removes `dir` bottom-up.
fn remove_tree(dir: &Path, deadline: Instant) -> Result<(), Error> {
    let mut pause = PAUSE_MIN;
    loop {
        // The usual case is one system call.
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if !is_busy(&error) => {
                return Err(Error::Remove { path: dir.to_owned(), source: error });
            }
            Err(_) => {}
        }
        for child in children(dir) {
            remove_tree(&child, deadline)?;
        }
        if Instant::now() > deadline {
            let mut pids = BTreeSet::new();
            let _ = collect(dir, &mut pids);
            return Err(Error::Busy {
                path: dir.to_owned(),
                pids: pids.into_iter().take(PIDS_TOLD).collect(),
            });
        }
        wait(dir, &mut pause, deadline);
    }
}

/// Waits until it is worth trying again: v2 tells when the last process has left, v1 has to
/// be tried.
fn wait(dir: &Path, pause: &mut Duration, deadline: Instant) {
    let until = (Instant::now() + PAUSE_MAX).min(deadline);
    match wait_for_event(dir, "populated 0", until) {
        // Empty, yet busy: the last task is still on its way out of the kernel.
        Ok(_) | Err(_) => std::thread::sleep(*pause),
    }
    *pause = (*pause * 2).min(PAUSE_MAX);
}

fn is_busy(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::BUSY | Errno::NOTEMPTY))
}

/// How long killed processes may take to go.
const REMOVE_LIMIT: Duration = Duration::from_secs(10);
/// The exit of a process takes tens of microseconds.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How many processes an error names.
const PIDS_TOLD: usize = 10;
