//! What can go wrong.

use std::borrow::Cow;

/// A text is no expression of its environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{report}")]
pub struct CompileError {
    /// Every issue with its place, as upstream prints them:
    /// `ERROR: <input>:1:5: undeclared reference to …`.
    pub report: String,
}

/// An expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Nothing does this to values of these types.
    #[error("{0}")]
    NoOverload(Cow<'static, str>),
    /// This evaluation cost more than one may, or more than was left of the budget.
    #[error("operation cancelled: actual cost limit exceeded")]
    Cost,
    /// `no such key: x`, `division by zero` and so on.
    #[error("{0}")]
    Failed(Cow<'static, str>),
}

impl EvalError {
    pub(crate) fn no_overload() -> Self {
        Self::NoOverload(Cow::Borrowed("no such overload"))
    }

    pub(crate) fn text(text: &'static str) -> Self {
        Self::Failed(Cow::Borrowed(text))
    }

    pub(crate) fn said(text: String) -> Self {
        Self::Failed(Cow::Owned(text))
    }

    pub(crate) fn no_key(key: &str) -> Self {
        Self::said(format!("no such key: {key}"))
    }
}
