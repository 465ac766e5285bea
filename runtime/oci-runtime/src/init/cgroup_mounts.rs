//! Mounts of type `cgroup`: what the container sees of its cgroups.
//!
//! Of v1 the container's own directories are bound, so that it does not see its neighbours: with
//! a cgroup namespace of its own that is what a new mount would show as its root, at a third of
//! the cost and without the lock that all of the machine's cgroups share. In a namespace that is
//! joined, or owned by another user namespace, the hierarchies are mounted anew.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cgroup::{Layout, Mode};
use rustix::fs::Mode as FileMode;
use sys::Namespace;
use sys::mount::{self, Change, Propagation, attr};

use super::mounts::{change_propagation, finish_readonly, guard_new, guard_root, make};
use super::{Doing, InitError, Prepared, Setup};
use crate::plan::{FsOption, MountPlan};

/// Mounts the hierarchies that this machine has.
pub(super) fn mount(setup: &mut Setup, prepared: &Prepared<'_>, plan: &MountPlan) -> Result<(), InitError> {
    let layout = prepared.layout.ok_or_else(|| InitError::plain("this machine has no cgroup mounted"))?;
    let own_namespace = prepared.plan.namespaces.has(Namespace::Cgroup);
    let target =
        setup.root.mkdir_all(&plan.destination, 0o755).doing(|| "make the destination".to_owned())?;
    guard_root(setup, &target)?;
    guard_new(&target, &plan.destination)?;
    if layout.mode() == Mode::V2 && (own_namespace || prepared.cgroup.is_some()) {
        let mount = v2(prepared, plan, own_namespace)?;
        change_propagation(plan, &mount)?;
        return mount::attach(&mount, &target).doing(|| "attach".to_owned());
    }
    let mode = [FsOption::Value("mode".to_owned(), "755".to_owned())];
    let tmpfs = make("tmpfs", "tmpfs", &mode, (plan.set | plan.set_all) & !attr::RDONLY)?;
    mount::attach(&tmpfs, &target).doing(|| "attach".to_owned())?;
    if layout.mode() != Mode::V2 {
        hierarchies(&tmpfs, prepared, layout, plan, own_namespace)?;
    }
    change_propagation(plan, &tmpfs)?;
    finish_readonly(&tmpfs, plan)
}

fn v2(prepared: &Prepared<'_>, plan: &MountPlan, own_namespace: bool) -> Result<OwnedFd, InitError> {
    let attributes = plan.set | plan.set_all;
    if own_namespace && let Ok(mount) = make("cgroup2", "cgroup2", &[], attributes) {
        return Ok(mount);
    }
    let dir = prepared.cgroup.and_then(|cgroup| cgroup.v2_dir());
    let dir = dir.ok_or_else(|| InitError::plain("the container has no cgroup to show"))?;
    bound(dir, attributes, None)
}

fn bound(dir: &Path, attributes: u64, propagation: Option<Propagation>) -> Result<OwnedFd, InitError> {
    let tree = mount::clone_path(dir, true).doing(|| format!("bind {}", dir.display()))?;
    let change = Change { set: attributes, propagation, recursive: true, ..Change::default() };
    mount::set_attributes(&tree, &change).doing(|| format!("bind {}", dir.display()))?;
    Ok(tree)
}

/// One directory a hierarchy, named as on the host, and links for controllers that
/// share one.
fn hierarchies(
    tmpfs: &OwnedFd,
    prepared: &Prepared<'_>,
    layout: &Layout,
    plan: &MountPlan,
    own_namespace: bool,
) -> Result<(), InitError> {
    let attributes = plan.set | plan.set_all;
    let namespaces = &prepared.plan.namespaces;
    let is_root = namespaces.makes(Namespace::Cgroup) && !namespaces.has(Namespace::User);
    for hierarchy in &layout.v1 {
        let name = hierarchy.mount_point.file_name().map(PathBuf::from).unwrap_or_default();
        let first = hierarchy.controllers.first().map_or("", String::as_str);
        let made = match prepared.cgroup.and_then(|cgroup| cgroup.v1_dir(first)) {
            Some(dir) if is_root => bound(dir, attributes, Some(Propagation::Private)),
            _ if own_namespace => make("cgroup", "cgroup", &v1_options(&hierarchy.controllers), attributes),
            Some(dir) => bound(dir, attributes, None),
            None => continue,
        };
        place(tmpfs, &name, &made?)?;
        for controller in hierarchy.controllers.iter().filter(|c| !c.contains('=')) {
            if Path::new(controller) != name {
                // Two controllers in one hierarchy: `cpu` leads to `cpu,cpuacct`.
                let _ = rustix::fs::symlinkat(&name, tmpfs, controller.as_str());
            }
        }
    }
    if let Some(unified) = &layout.v2 {
        let name = unified.mount_point.file_name().map(PathBuf::from).unwrap_or_else(|| "unified".into());
        if own_namespace || prepared.cgroup.is_some() {
            place(tmpfs, &name, &v2(prepared, plan, own_namespace)?)?;
        }
    }
    Ok(())
}

fn v1_options(controllers: &[String]) -> Vec<FsOption> {
    let mut options = Vec::new();
    for controller in controllers {
        match controller.split_once('=') {
            Some((key, value)) => {
                options.push(FsOption::Flag("none".to_owned()));
                options.push(FsOption::Value(key.to_owned(), value.to_owned()));
            }
            None => options.push(FsOption::Flag(controller.clone())),
        }
    }
    options
}

fn place(tmpfs: &OwnedFd, name: &Path, mount: &OwnedFd) -> Result<(), InitError> {
    let doing = || format!("place hierarchy {}", name.display());
    rustix::fs::mkdirat(tmpfs, name, FileMode::from_raw_mode(0o755)).doing(doing)?;
    mount::attach_at(mount, tmpfs, name).doing(doing)
}
