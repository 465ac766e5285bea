//! The Common Expression Language as Kubernetes speaks it: compiled with a cost,
//! evaluated with a budget.
//!
//! [`Env`] says what an expression may name, [`Program::compile`] reads and checks it,
//! [`Program::estimate`] says what it may cost at most, and [`Program::evaluate`] gives
//! its value. Pure: no clock, no I/O. Hostile expressions end: their length and nesting
//! are limited, and an evaluation stops when it has cost too much.
//!
//! ```
//! use kube_cel::{Activation, Env, PER_CALL_LIMIT, Program, Val};
//!
//! let env = Env::new().with_any("object");
//! let program = Program::compile("object.spec.replicas <= 5", &env)?;
//! let object = serde_json::json!({"spec": {"replicas": 3}});
//! let activation = Activation::new().with("object", &object);
//! let mut budget = PER_CALL_LIMIT;
//! assert!(matches!(program.evaluate(&activation, &mut budget)?, Val::Bool(true)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ast;
mod authorizer;
mod check;
mod cost;
mod env;
mod error;
mod eval;
mod functions;
mod lex;
mod library;
mod macros;
mod names;
mod parse;
mod program;
mod types;
mod val;

pub use authorizer::{Allowed, Authorizer, Check, Decision, Stage};
pub use cost::CostRange;
pub use env::{Decl, Env, Form, ListKind, REQUEST_BYTES_MAX};
pub use error::{CompileError, EvalError};
pub use names::{escape, unescape};
pub use program::{Activation, Program};
pub use types::Type;
pub use val::{Entries, Key, List, Map, Text, Val};

/// What one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// What all expressions over one object or policy may cost together.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// What the match conditions of one webhook or policy may cost together.
pub const MATCH_CONDITIONS_BUDGET: u64 = RUNTIME_BUDGET / 4;
/// The most that one rule of a custom resource may cost, by estimate.
pub const STATIC_RULE_LIMIT: u64 = 10_000_000;
/// The most that all rules of a custom resource may cost, by estimate.
pub const STATIC_CRD_LIMIT: u64 = 100_000_000;
