//! What admission says beside yes and no: warnings, annotations for the audit log, and the
//! decisions themselves, so that a refusal can be explained later.

use std::collections::BTreeMap;
use std::fmt;

/// Collects what the steps of a chain have to say.
///
/// It is filled whether the request is admitted or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// For the client, as `Warning` headers, in the order in which they came.
    pub warnings: Vec<String>,
    /// For the audit log.
    pub audit_annotations: BTreeMap<String, String>,
    /// Which step changed or refused the request, and by which rule.
    pub decisions: Vec<Decision>,
}

/// One step's decision: which plugin, about what, by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The plugin, as upstream names it.
    pub plugin: &'static str,
    /// The rule's object: a quota, a limit range, a webhook, a policy; or the plugin's own rule.
    pub rule: String,
    /// What it did.
    pub outcome: Outcome,
    /// The sentence; empty where there is nothing to say.
    pub reason: String,
}

/// What a step did with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed the object.
    Changed,
    /// It let it pass, though it could not decide or only watches.
    Ignored,
    /// It refused.
    Refused,
}

impl Notes {
    /// Warns the client; the same warning is given once.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Annotates the audit event; the first value of a key stays.
    pub fn annotate(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.audit_annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    /// Keeps a decision.
    pub fn decide(
        &mut self,
        plugin: &'static str,
        outcome: Outcome,
        rule: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.decisions.push(Decision { plugin, rule: rule.into(), outcome, reason: reason.into() });
    }

    /// The decision that refused the request.
    pub fn refusal(&self) -> Option<&Decision> {
        self.decisions.iter().find(|decision| decision.outcome == Outcome::Refused)
    }

    /// Whether a plugin has already said why it refused.
    pub(crate) fn has_refusal_of(&self, plugin: &str) -> bool {
        self.refusal().is_some_and(|decision| decision.plugin == plugin)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        })
    }
}

/// `ResourceQuota refused by team-a/compute: exceeded quota: …`
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.plugin, self.outcome)?;
        if !self.rule.is_empty() {
            write!(f, " by {}", self.rule)?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}
