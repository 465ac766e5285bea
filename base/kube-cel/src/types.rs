//! Types, as the checker sees them.

use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything: decided when it is evaluated.
    Dyn,
    /// What an expression with an error has; nothing more is said about it.
    Error,
    /// `null_type`.
    Null,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// `list(A)`.
    List(Arc<Type>),
    /// `map(A, B)`.
    Map(Arc<Type>, Arc<Type>),
    /// `optional_type(A)`.
    Optional(Arc<Type>),
    /// `type(A)`.
    Type(Arc<Type>),
    /// A type of a library, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// An object with declared fields, by its name.
    Object(Arc<str>),
    /// A type that is still to be found out.
    Param(u32),
}

impl Type {
    /// `list(item)`.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// `optional_type(of)`.
    pub fn optional(of: Type) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// Whether all its values have one size.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            Self::Optional(of) => of.is_scalar(),
            _ => false,
        }
    }

    pub(crate) fn parameters(&self) -> Vec<&Arc<Type>> {
        match self {
            Self::List(a) | Self::Optional(a) | Self::Type(a) => vec![a],
            Self::Map(a, b) => vec![a, b],
            _ => Vec::new(),
        }
    }

    /// The type with other parameters.
    pub(crate) fn with(&self, change: &mut dyn FnMut(&Type) -> Type) -> Type {
        match self {
            Self::List(a) => Self::list(change(a)),
            Self::Optional(a) => Self::optional(change(a)),
            Self::Type(a) => Self::Type(Arc::new(change(a))),
            Self::Map(a, b) => Self::map(change(a), change(b)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Dyn => "dyn",
            Self::Error => "!error!",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::List(of) => return write!(f, "list({of})"),
            Self::Map(key, value) => return write!(f, "map({key}, {value})"),
            Self::Optional(of) => return write!(f, "optional_type({of})"),
            Self::Type(of) => return write!(f, "type({of})"),
            Self::Opaque(name) => name,
            Self::Object(name) => name,
            Self::Param(number) => return write!(f, "<{number}>"),
        };
        f.write_str(name)
    }
}
