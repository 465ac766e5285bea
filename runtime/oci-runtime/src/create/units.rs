//! Cgroups that systemd makes: a scope with init in it.

use cgroup::{CgroupPath, Systemd, SystemdBus};

use super::{Creation, Ready};
use crate::error::Error;
use crate::runtime::known_devices;

/// Below which cgroup a user's systemd has all of its own.
pub(super) fn manager_root(bus: &SystemdBus) -> Result<String, Error> {
    let root = Systemd::connect(bus).and_then(|mut systemd| systemd.control_group());
    Ok(root.map_err(cgroup::Error::from)?)
}

impl Creation<'_> {
    /// Has the unit made with init in it, and then does what systemd does not.
    pub(crate) fn start_unit(&self, ready: &mut Ready<'_>, init: i32) -> Result<(), Error> {
        let started = self.ask_systemd(ready, init).inspect_err(|_| {
            // One that is there already is somebody else's: cleaning up must not touch it.
            ready.record.cgroup = None;
            ready.record.systemd_unit = None;
        });
        started?;
        if let Some(cgroup) = &ready.record.cgroup {
            cgroup.complete()?;
        }
        self.limit(ready)
    }

    fn ask_systemd(&self, ready: &Ready<'_>, init: i32) -> Result<(), cgroup::Error> {
        let (Some(layout), Some(CgroupPath::Unit { unit, .. })) = (&ready.layout, &ready.cgroup_path) else {
            return Ok(());
        };
        if let Some(cgroup) = ready.record.cgroup.as_ref().filter(|_| !unit.is_slice()) {
            cgroup.refuse_others()?;
        }
        let mut systemd = Systemd::connect(&self.settings.bus)?;
        let annotations = self
            .spec
            .annotations()
            .iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.strip_prefix(PROPERTY_ANNOTATION)?, value.as_str())));
        let mut properties = cgroup::transient_properties(unit, init, layout.mode(), annotations)?;
        properties.extend(cgroup::resource_properties(&ready.resources, systemd.version, &known_devices()));
        Ok(systemd.start(unit, &properties)?)
    }
}

/// An annotation that is a property of the unit.
pub(crate) const PROPERTY_ANNOTATION: &str = "org.systemd.property.";
