//! One container in one network: section 2, "Parameters".

use std::collections::BTreeMap;

use serde_json::Value;

use crate::names::{ContainerId, InterfaceName};

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The container: `CNI_CONTAINERID`.
    pub container: ContainerId,
    /// Where its network namespace is found: `CNI_NETNS`; empty when it is gone.
    pub namespace: String,
    /// The link to be made: `CNI_IFNAME`.
    pub interface: InterfaceName,
    /// `CNI_ARGS`.
    pub arguments: Vec<(String, String)>,
    /// What the runtime has to tell, by capability; see
    /// [`Capabilities::told`](crate::Capabilities::told).
    pub capabilities: BTreeMap<String, Value>,
}

impl Attachment {
    /// `CNI_ARGS`: `KEY=VALUE;…`.
    pub(crate) fn arguments_text(&self) -> String {
        let pairs: Vec<String> = self.arguments.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(";")
    }
}
