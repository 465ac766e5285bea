//! Containers of an ordinary user: where their files lie, and how a command of that user gets the
//! rights to make them.
//!
//! ```text
//! command (uid 1000) ── setns ─▶ the same process: root of the user's *house*
//!                                  user namespace    0 → 1000, 1… → /etc/subuid
//!                                  mount namespace   a slave of the host's
//!                                  network namespace entered later, when containers are started
//! keeper  (uid 1000) ── sleeps in all three, so that they are there for the next command
//! ```
//!
//! The house is made by the first command and found again through the keeper's record. The keeper
//! holds nothing but the namespaces: when it is killed, the supervisor of any container that runs
//! leads back into them, and the command that notices makes another keeper there. Only when nothing
//! runs is there nothing to find, and a new house is as good.
//!
//! The way out of the user's network is a process of its own: [`network`].
//!
//! It knows nothing of containers but where their supervisors' records lie.

mod account;
mod error;
mod house;
mod maker;
pub mod network;
mod places;
mod subordinate;

pub use account::user_name;
pub use error::Error;
pub use house::{House, directory, enter};
pub use maker::Maps;
pub use places::{Places, places};
pub use subordinate::{Range, ranges};
