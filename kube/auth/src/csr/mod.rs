//! Certificate signing requests: what is valid, who may approve and sign, and the signing.
//!
//! `parse` reads a request, `validate` refuses objects, `permission` says who may, `approve`
//! approves nodes' own requests, `sign` makes the certificate with `issue`, which writes DER;
//! `control` has the cluster's signers. `ask` is the node's side.

mod approve;
mod ask;
mod control;
pub(crate) mod der;
mod issue;
mod parse;
mod permission;
mod sign;
mod validate;

pub use approve::{NodeClient, approve, approve_serving};
pub use ask::{AskError, Asked, Wanted, ask, validity};
pub use control::Signers;
pub use issue::{IssueError, Signer};
pub use parse::{ParseError, Request};
pub use permission::{check_approve, check_sign, check_subject};
pub use sign::{Outcome, sign};
pub use validate::{validate_create, validate_update};

/// Certificates for clients of the API.
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Certificates for kubelets as clients of the API.
pub const CLIENT_KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Certificates for kubelets as servers.
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Certificates without any promise.
pub const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

/// The group of requests and signers.
pub(crate) const GROUP: &str = "certificates.k8s.io";
