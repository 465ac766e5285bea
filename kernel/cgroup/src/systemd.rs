//! systemd as the maker of cgroups: units asked for over D-Bus (`org.freedesktop.systemd1(5)`).
//!
//! ```text
//! Plan ──properties──▶ StartTransientUnit ─▶ job ─▶ JobRemoved "done" ─▶ the cgroup is there
//! ```
//!
//! systemd makes the cgroup of a scope with a process in it; files for which it has no property are
//! written by us afterwards, as for a cgroup of our own.

mod bus;
mod message;
mod properties;
mod value;

use base::{Classified, ErrorClass};

pub use bus::BusError;
pub use properties::{resource_properties, transient_properties};
pub use value::Value;

use crate::path::SystemdUnit;
use bus::Bus;
use message::Call;

/// Where a systemd is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemdBus {
    /// D-Bus addresses, tried in turn.
    pub addresses: Vec<String>,
    /// It is the systemd of a user, who has a subtree only.
    pub user: bool,
}

impl SystemdBus {
    /// The machine's.
    pub fn system() -> Self {
        let addresses = ["/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"];
        Self { addresses: addresses.iter().map(|path| format!("unix:path={path}")).collect(), user: false }
    }
}

/// systemd did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// It could not be asked, or refused.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The job failed.
    #[error("error creating systemd unit `{unit}`: got `{result}`; see `systemctl status {unit}`")]
    Job {
        /// The unit.
        unit: String,
        /// How it ended.
        result: String,
    },
    /// An annotation is no property.
    #[error(
        "annotation org.systemd.property.{name}: {value:?} is not a value: write it as 'text', true, 5, uint64 5 or ['a', 'b']"
    )]
    Annotation {
        /// The property.
        name: String,
        /// As given.
        value: String,
    },
}

impl Classified for SystemdError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Bus(BusError::Connect { .. }) => ErrorClass::Unsupported,
            Self::Bus(BusError::Broken { source, .. }) => ErrorClass::of_io(source),
            Self::Bus(error) if error.is(UNIT_EXISTS) => ErrorClass::AlreadyExists,
            Self::Bus(_) | Self::Job { .. } => ErrorClass::Internal,
            Self::Annotation { .. } => ErrorClass::Invalid,
        }
    }
}

/// Properties of a unit: names and values.
pub type Properties = Vec<(String, Value)>;

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
    /// Its version, as 252.
    pub version: u32,
}

impl Systemd {
    /// Connects, and hears of jobs from now on.
    pub fn connect(to: &SystemdBus) -> Result<Self, SystemdError> {
        let mut bus = Bus::connect(&to.addresses, sys::user::effective_uid())?;
        bus.listen(&format!("type='signal',path='{PATH}',interface='{MANAGER}',member='JobRemoved'"))?;
        // Without a subscriber it tells nobody; more than once is no harm.
        bus.call(&manager("Subscribe"), &[])?;
        let mut systemd = Self { bus, version: 0 };
        let version = systemd.property("Version")?;
        let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        systemd.version = digits[..end].parse().unwrap_or(0);
        Ok(systemd)
    }

    fn property(&mut self, name: &str) -> Result<String, SystemdError> {
        let call = Call { interface: "org.freedesktop.DBus.Properties", ..manager("Get") };
        let got = self.bus.call(&call, &[Value::text(MANAGER), Value::text(name)])?;
        Ok(got.first().and_then(Value::as_text).unwrap_or_default().to_owned())
    }

    /// The cgroup below which this systemd has all of its own.
    pub fn control_group(&mut self) -> Result<String, SystemdError> {
        self.property("ControlGroup")
    }

    /// Makes the unit, and waits until it is there.
    ///
    /// A failed one of that name is a leftover and gives way; a slice may be there already.
    pub fn start(&mut self, unit: &SystemdUnit, properties: &Properties) -> Result<(), SystemdError> {
        let body = [
            Value::text(&unit.unit),
            Value::text("replace"),
            encoded(properties),
            Value::Array("(sa(sv))".to_owned(), Vec::new()),
        ];
        let mut job = self.bus.call(&manager("StartTransientUnit"), &body);
        if job.as_ref().is_err_and(|error| error.is(UNIT_EXISTS)) {
            if unit.is_slice() {
                return Ok(());
            }
            self.reset_failed(&unit.unit);
            job = self.bus.call(&manager("StartTransientUnit"), &body);
        }
        match self.wait(&job?, "StartTransientUnit")?.as_str() {
            "done" => Ok(()),
            result => {
                self.reset_failed(&unit.unit);
                Err(SystemdError::Job { unit: unit.unit.clone(), result: result.to_owned() })
            }
        }
    }

    /// Changes a unit until the next boot.
    pub fn set(&mut self, unit: &str, properties: &Properties) -> Result<(), SystemdError> {
        if properties.is_empty() {
            return Ok(());
        }
        let body = [Value::text(unit), Value::Bool(true), encoded(properties)];
        Ok(self.bus.call(&manager("SetUnitProperties"), &body).map(drop)?)
    }

    /// Ends a unit, and forgets it. One that is gone counts as done.
    pub fn stop(&mut self, unit: &str) -> Result<(), SystemdError> {
        let stopped = self.bus.call(&manager("StopUnit"), &[Value::text(unit), Value::text("replace")]);
        match stopped {
            Err(error) if error.is(NO_SUCH_UNIT) => {}
            job => drop(self.wait(&job?, "StopUnit")?),
        }
        self.reset_failed(unit);
        Ok(())
    }

    /// A unit that failed stays until somebody has seen it.
    fn reset_failed(&mut self, unit: &str) {
        // One that has not failed is an error that means nothing.
        let _ = self.bus.call(&manager("ResetFailedUnit"), &[Value::text(unit)]);
    }

    /// How the job of this answer ended.
    fn wait(&mut self, answer: &[Value], doing: &str) -> Result<String, SystemdError> {
        let malformed = || BusError::Malformed { member: doing.to_owned() };
        let job = answer.first().and_then(Value::as_text).ok_or_else(malformed)?;
        loop {
            let removed = self.bus.signal("JobRemoved", doing)?;
            let [_, path, _, result] = &removed[..] else { return Err(malformed().into()) };
            if path.as_text() == Some(job) {
                return Ok(result.as_text().unwrap_or_default().to_owned());
            }
        }
    }
}

fn encoded(properties: &Properties) -> Value {
    let one = |(name, value): &(String, Value)| {
        Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value.clone()))])
    };
    Value::Array("(sv)".to_owned(), properties.iter().map(one).collect())
}

const fn manager(member: &str) -> Call<'_> {
    Call { destination: "org.freedesktop.systemd1", path: PATH, interface: MANAGER, member }
}

const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

#[cfg(test)]
mod tests;
