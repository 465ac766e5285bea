//! seccomp(2): a policy as data, compiled to a classic BPF program, loaded, and read back.
//!
//! ```text
//! Policy ──resolve──▶ per architecture: number ranges → outcome ──emit──▶ Program ──load──▶ kernel
//!                                                                           │
//!                                                                 verdicts, evaluate
//! ```
//!
//! The program is a *balanced search tree over ranges of call numbers*. The kernel emulates
//! a new filter once for every call number to fill its bitmap of allowed calls, so a linear
//! chain of comparisons costs about seven times more to install than a tree.
//!
//! Meaning of a policy (it follows libseccomp as runc drives it):
//! * a rule without conditions decides its calls whatever other rules say; the first such
//!   rule wins;
//! * otherwise the first rule whose conditions all hold decides; otherwise the default;
//! * a rule that names one argument twice stands for one rule per condition;
//! * a call newer than the newest that the policy names fails with `ENOSYS` when the
//!   default denies, so that the C library falls back instead of giving up;
//! * an architecture that the policy does not list kills the process.

mod emit;
mod filter;
mod interpret;
mod multiplex;
mod policy;
mod program;
mod read;
mod resolve;
mod syscalls;
mod verdict;

#[cfg(test)]
mod tests;

pub use filter::{CompileError, Filter, compile};
pub use interpret::{Call, evaluate};
pub use policy::{Action, Arch, Condition, Flags, Op, Policy, Rule};
pub use program::{Instruction, Program};
pub use read::filters_of;
pub use syscalls::{names, number, syscall_count};
pub use verdict::{Verdict, Verdicts, verdicts};
