//! What is to be written where: a plan as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::devices::DevicePolicy;

/// Which of a cgroup's directories a file is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The one in the v1 hierarchy with this controller.
    V1(String),
    /// The one in the v2 hierarchy.
    V2,
}

/// What happens when the kernel refuses a value or has no such file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfRefused {
    /// The container cannot be had as asked.
    Fail,
    /// Try again after the neighbours in the plan: the kernel checks these files against
    /// each other (limit and limit with swap, quota and period), so the right order depends
    /// on what they hold now.
    RetryInTurn,
    /// A missing file is what was asked for anyway.
    IgnoreMissing,
    /// Say so and go on.
    Warn,
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The directory.
    pub place: Place,
    /// The file.
    pub file: String,
    /// What is written.
    pub value: String,
    /// File and value to use when `file` does not exist.
    pub otherwise: Option<(String, String)>,
    /// Refuse the value when this file holds a larger number.
    pub not_below: Option<String>,
    /// What to do when it does not work.
    pub if_refused: IfRefused,
}

impl Setting {
    #[expect(clippy::needless_pass_by_value, reason = "takes numbers and texts as they come")]
    pub(crate) fn new(place: Place, file: impl Into<String>, value: impl ToString) -> Self {
        Self {
            place,
            file: file.into(),
            value: value.to_string(),
            otherwise: None,
            not_below: None,
            if_refused: IfRefused::Fail,
        }
    }

    pub(crate) fn if_refused(mut self, if_refused: IfRefused) -> Self {
        self.if_refused = if_refused;
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "takes numbers and texts as they come")]
    pub(crate) fn or(mut self, file: impl Into<String>, value: impl ToString) -> Self {
        self.otherwise = Some((file.into(), value.to_string()));
        self
    }
}

impl fmt::Display for Setting {
    /// `memory:memory.limit_in_bytes = 67108864`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::V1(controller) => write!(f, "{controller}:{} = {}", self.file, self.value),
            Place::V2 => write!(f, "{} = {}", self.file, self.value),
        }
    }
}

/// Something asked for that is not had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What was asked, as the runtime-spec names it, or the file.
    pub what: String,
    /// Why it is not had.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// All that is to be done for a container's resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to write, in order.
    pub settings: Vec<Setting>,
    /// Which devices may be used, if that is to be set.
    pub devices: Option<DevicePolicy>,
    /// What was asked for and cannot be had on this machine.
    pub warnings: Vec<Warning>,
}
