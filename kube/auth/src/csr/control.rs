//! What to do with a request now: one decision for the loop that watches requests.

use jiff::{SignedDuration, Timestamp};
use kube_object::time::Time;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use super::approve::approve;
use super::issue::{IssueError, Signer};
use super::sign::{Outcome, conditions, sign};
use super::{CLIENT, CLIENT_KUBELET, KUBELET_SERVING, LEGACY_UNKNOWN};
use crate::authorizer::Authorizer;
use crate::rbac::index::str_at;

/// The cluster's signers.
#[derive(Debug)]
pub struct Signers {
    /// Signs for clients of the API.
    pub client: Signer,
    /// Signs for kubelets as servers.
    pub serving: Signer,
    /// How long certificates live unless the request wants less.
    pub lifetime_seconds: i64,
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing now.
    Nothing,
    /// Write this to `approval`.
    Approve(Value),
    /// Write this to `status`: a certificate, or the failure.
    Status(Value),
    /// It is old and done, or nobody cared: delete it.
    Delete,
}

impl Signers {
    /// What to do with a request. It is to be asked again when the request changes, and for
    /// `Delete` within hours.
    pub fn decide(
        &self,
        object: &Value,
        authorizer: &Authorizer,
        now: Timestamp,
    ) -> Result<Step, IssueError> {
        if is_stale(object, now) {
            return Ok(Step::Delete);
        }
        if let Some(approved) = approve(object, authorizer, now) {
            return Ok(Step::Approve(approved));
        }
        let signer = match str_at(object, &["spec", "signerName"]) {
            CLIENT | CLIENT_KUBELET | LEGACY_UNKNOWN => &self.client,
            KUBELET_SERVING => &self.serving,
            _ => return Ok(Step::Nothing),
        };
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| IssueError::Sign)?;
        Ok(match sign(object, signer, self.lifetime_seconds, serial, now)? {
            Outcome::Nothing => Step::Nothing,
            Outcome::Signed(object) | Outcome::Failed(object) => Step::Status(object),
        })
    }
}

/// Whether a request has been decided for an hour, or waited for a day. As upstream cleans up.
pub fn is_stale(object: &Value, now: Timestamp) -> bool {
    let before = |text: &str, ago: SignedDuration| {
        Time::parse(text).is_ok_and(|at| at.unix().saturating_add(ago.as_secs()) < now.as_second())
    };
    let certificate = str_at(object, &["status", "certificate"]);
    let decided = conditions(object);
    if decided.is_empty() {
        return certificate.is_empty() && before(str_at(object, &["metadata", "creationTimestamp"]), PENDING);
    }
    decided.iter().any(|condition| {
        let kind = str_at(condition, &["type"]);
        let done = matches!(kind, "Denied" | "Failed") || (kind == "Approved" && !certificate.is_empty());
        let waited = if done { DONE } else { PENDING };
        matches!(kind, "Approved" | "Denied" | "Failed")
            && before(str_at(condition, &["lastUpdateTime"]), waited)
    })
}

const DONE: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);
