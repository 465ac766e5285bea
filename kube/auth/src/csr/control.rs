//! The cluster's signers: which of them a request is for, and the certificate it gets.

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use super::issue::{IssueError, Signer};
use super::sign::{Outcome, sign};
use super::{CLIENT, CLIENT_KUBELET, KUBELET_SERVING, LEGACY_UNKNOWN};
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

impl Signers {
    /// An approved request with its certificate, or with the reason why there is none; none if there is
    /// nothing to sign.
    pub fn signed(&self, object: &Value, now: Timestamp) -> Result<Option<Value>, IssueError> {
        let signer = match str_at(object, &["spec", "signerName"]) {
            CLIENT | CLIENT_KUBELET | LEGACY_UNKNOWN => &self.client,
            KUBELET_SERVING => &self.serving,
            _ => return Ok(None),
        };
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| IssueError::Sign)?;
        Ok(match sign(object, signer, self.lifetime_seconds, serial, now)? {
            Outcome::Nothing => None,
            Outcome::Signed(object) | Outcome::Failed(object) => Some(object),
        })
    }
}
