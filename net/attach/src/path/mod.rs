//! The rules that a packet meets, in order, from what the kernel holds now.
//!
//! ```text
//! from outside:  prerouting ─ (translated) ─ forward ─ postrouting ─ bridge ─ container
//! from the host: output ───── (translated) ─────────── postrouting ─ bridge ─ container
//! ```
//!
//! [`walk`](walk::walk) takes the first packet of a connection through all base chains of all
//! tables, the host's and ours, as the kernel would: by hook, then by priority. It knows what
//! such a packet is sure to be (addresses, port, the links it comes and goes by, that it begins
//! a connection); where a rule asks for more, the rule *may* apply, which is said and not
//! guessed. Reading is the only effect.

mod machine;
mod ruleset;
#[cfg(test)]
mod tests;
mod walk;
mod ways;
mod words;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::publish::Protocol;

pub use ways::{Audience, Way};

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A process of the host.
    Host,
    /// Another machine, by this link.
    Link(String),
}

/// The first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Where it comes from.
    pub origin: Origin,
    /// Whom it comes from; nobody in particular when missing.
    pub source: Option<IpAddr>,
    /// The transport.
    pub protocol: Protocol,
    /// Whom it is for.
    pub destination: SocketAddr,
}

/// Whose a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Of our table.
    Strake,
    /// Of anybody else's.
    Host,
}

/// A chain that a packet enters, a rule in it that applies, or the end of a base chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The hook: `prerouting`, `forward`…
    pub hook: &'static str,
    /// Whose it is.
    pub whose: Whose,
    /// `ip strake`.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Of a base chain when it is entered: its order at the hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Of a rule: its handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
    /// The rule's comment, or what it says.
    pub text: String,
    /// What follows: `enter`, `accept`, `drop`, `to 172.30.0.2:80`…
    pub effect: String,
    /// Whether it depends on more than is known of the packet.
    pub maybe: bool,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fate")]
pub enum Fate {
    /// It goes to another address: a container's.
    Forwarded {
        /// Which, and which port.
        to: SocketAddr,
        /// With an address of this host instead of its own.
        masqueraded: bool,
    },
    /// The companion takes it, and sends what it holds on in a connection of its own: the container
    /// sees an address of this host.
    Relayed {
        /// To which address and port.
        to: SocketAddr,
    },
    /// It stays on the host: a process of the host would have to answer.
    Local,
    /// A rule drops it.
    Dropped,
    /// A rule refuses it with an answer.
    Rejected,
}

/// The way of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Path {
    /// The packet.
    pub packet: Packet,
    /// What it meets, in order.
    pub steps: Vec<Step>,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// Rules that may change that: it depends on more than is known of the packet.
    pub doubts: Vec<String>,
}

impl Path {
    /// The step that decided what becomes of it: the one that stopped it, or that sent it on.
    pub fn decider(&self) -> Option<&Step> {
        match self.fate {
            Fate::Dropped | Fate::Rejected => self.steps.last(),
            Fate::Forwarded { to, .. } => {
                let effect = format!("to {to}");
                self.steps.iter().find(|step| step.effect == effect)
            }
            Fate::Local | Fate::Relayed { .. } => None,
        }
    }

    /// Whether it gets to a container.
    pub fn arrives(&self) -> bool {
        matches!(self.fate, Fate::Forwarded { .. } | Fate::Relayed { .. })
    }

    /// What becomes of it and why, in one line.
    pub fn sentence(&self) -> String {
        let because = |what: &str| match self.decider() {
            Some(step) => format!("{what} by {step}"),
            None => what.to_owned(),
        };
        let mut sentence = match &self.fate {
            Fate::Forwarded { to, masqueraded: false } => because(&format!("to {to}")),
            Fate::Forwarded { to, masqueraded: true } => {
                because(&format!("to {to}, with an address of this host,"))
            }
            Fate::Relayed { to } => {
                format!("to {to}, relayed by our companion, so the container sees an address of this host")
            }
            Fate::Dropped => because("dropped"),
            Fate::Rejected => because("refused"),
            Fate::Local => "no rule sends it to a container: it stays on this host".to_owned(),
        };
        for doubt in &self.doubts {
            sentence.push_str("; depends on: ");
            sentence.push_str(doubt);
        }
        sentence
    }
}

impl std::fmt::Display for Step {
    /// `the host's chain in of table inet fw (dport 22)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whose, chain) = match (self.whose, copied(&self.chain)) {
            (Whose::Host, _) => ("the host's chain", self.chain.as_str()),
            (Whose::Strake, Some(original)) => ("our copy of the host's chain", original),
            (Whose::Strake, None) => ("our chain", self.chain.as_str()),
        };
        write!(f, "{whose} {chain} of table {} ({})", self.table, self.text)
    }
}

/// The host's chain that one of ours is a copy of: `host0-input`.
fn copied(chain: &str) -> Option<&str> {
    let (number, original) = chain.strip_prefix("host")?.split_once('-')?;
    (number.parse::<u32>().is_ok() && original != "gate").then_some(original)
}
