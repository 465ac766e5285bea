//! Sandboxes: one container holds the namespaces, others live in them.

use serde::{Deserialize, Serialize};

/// What a container is to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxRole {
    /// It holds the namespaces and sleeps. It needs no image: its program is ours.
    Holder,
    /// It lives in the sandbox whose holder has this id.
    Member(String),
}

/// What the front that made a container wants to find with it again. The engine keeps it and
/// does not look into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontNote {
    /// Which front.
    pub front: String,
    /// In the front's own form.
    pub note: String,
}
