//! Ids and capabilities: from the runtime's to the container's.

use sys::CapSet;
use sys::capability::{self, ThreadCaps};

use super::{Doing, InitError};
use crate::plan::{Capabilities, ProcessPlan};

/// Root of the user namespace that we have just entered: the ids we had mean nothing in it.
///
/// Gives whether the namespace denies `setgroups(2)`, as those of unprivileged users do.
pub(crate) fn become_root() -> Result<bool, InitError> {
    let denied = match sys::user::set_groups(&[]) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => true,
        result => result.map(|()| false).doing(|| "drop supplementary groups".to_owned())?,
    };
    sys::user::set_gid(0).doing(|| "become group 0 of the user namespace (is it mapped?)".to_owned())?;
    sys::user::set_uid(0).doing(|| "become user 0 of the user namespace (is it mapped?)".to_owned())?;
    Ok(denied)
}

/// Takes on the process's ids and capability sets.
pub(super) fn take(
    process: &ProcessPlan,
    setgroups_denied: bool,
    warnings: &mut Vec<String>,
) -> Result<(), InitError> {
    let capabilities = process.capabilities.map(|wanted| grantable(wanted, warnings)).transpose()?;
    if let Some(wanted) = &capabilities {
        limit_bounding(wanted.bounding)?;
        sys::prctl::set_keep_caps(true).doing(|| "keep capabilities over the change of user".to_owned())?;
    }
    if !setgroups_denied {
        match sys::user::set_groups(&process.groups) {
            // The namespace that the runtime was started in has one group only.
            Err(error) if is_denied(&error) && sys::user::setgroups_denied() => {}
            set => set.doing(|| format!("set supplementary groups {:?}", process.groups))?,
        }
    } else if process.groups.iter().any(|group| *group != process.gid) {
        warnings.push("additionalGids are left out: the user namespace denies setgroups".to_owned());
    }
    sys::user::set_gid(process.gid).doing(|| format!("set group {}", process.gid))?;
    sys::user::set_uid(process.uid).doing(|| format!("set user {}", process.uid))?;
    match &capabilities {
        Some(wanted) => set(wanted),
        None => Ok(()),
    }
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// What we hold ourselves limits what we can give.
fn grantable(wanted: Capabilities, warnings: &mut Vec<String>) -> Result<Capabilities, InitError> {
    let held = capability::current().doing(|| "read our capabilities".to_owned())?.permitted;
    let missing = wanted.permitted.union(wanted.bounding).minus(held);
    if !missing.is_empty() {
        warnings.push(format!("capabilities {missing} are left out: the runtime does not hold them itself"));
    }
    let permitted = wanted.permitted.intersection(held);
    let inheritable = wanted.inheritable.intersection(held);
    let ambient = wanted.ambient.intersection(permitted).intersection(inheritable);
    for number in wanted.ambient.minus(ambient).iter() {
        warnings.push(format!(
            "can't raise ambient capability {}: it is not in both the permitted and the inheritable set",
            capability::name(number)
        ));
    }
    Ok(Capabilities {
        bounding: wanted.bounding,
        permitted,
        effective: wanted.effective.intersection(permitted),
        inheritable,
        ambient,
    })
}

fn limit_bounding(wanted: CapSet) -> Result<(), InitError> {
    for number in 0..64 {
        if wanted.contains(number) {
            continue;
        }
        let Err(error) = capability::bounding_drop(number) else { continue };
        match capability::bounding_has(number) {
            // The kernel's capabilities end here.
            None => break,
            Some(false) => {}
            Some(true) => {
                return Err(error)
                    .doing(|| format!("drop {} from the bounding set", capability::name(number)));
            }
        }
    }
    Ok(())
}

fn set(wanted: &Capabilities) -> Result<(), InitError> {
    sys::prctl::set_keep_caps(false).doing(|| "end keeping capabilities".to_owned())?;
    let sets = ThreadCaps {
        effective: wanted.effective,
        permitted: wanted.permitted,
        inheritable: wanted.inheritable,
    };
    capability::set(&sets).doing(|| "set capabilities".to_owned())?;
    capability::ambient_clear().doing(|| "clear ambient capabilities".to_owned())?;
    for number in wanted.ambient.iter() {
        capability::ambient_raise(number).doing(|| format!("raise ambient {}", capability::name(number)))?;
    }
    Ok(())
}
