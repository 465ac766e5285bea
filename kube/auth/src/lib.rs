//! Who asks and what they may: certificates, tokens, RBAC, the node authorizer.
//!
//! - `authn` finds out who asks: certificates, tokens, headers of a front proxy.
//! - `authorizer` says whether they may: masters, nodes (`node`), roles (`rbac`).
//! - `impersonate` turns one user into another, if allowed.
//! - `review` answers the review kinds, `token` makes service account tokens, `csr` checks and
//!   signs certificate requests.
//! - `bootstrap` has the roles and bindings that every cluster starts with.
//! - `join` is the token that nodes join with.
//! - `pki` makes keys and certificates at the first start and renews them.
//!
//! Decisions are functions of what they are given: time and random bytes come in as arguments.
//! Only `pki` touches files.

pub mod attributes;
pub mod authn;
pub mod authorizer;
pub mod bootstrap;
pub mod csr;
pub mod impersonate;
pub mod join;
pub mod node;
pub mod pki;
pub mod rbac;
pub mod review;
pub mod token;

pub use attributes::{Attributes, Decision, Grant, Reason, ResourceAttributes};
pub use authn::{AuthError, Authenticated, Authenticator, Credentials};
pub use authorizer::Authorizer;
