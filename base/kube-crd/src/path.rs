//! Where a value stands, as messages spell it. Links of a chain on the stack, made
//! into text only when something is wrong there.

use std::fmt;

/// A way into an object.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// Some text at the beginning.
    From(&'a str),
    /// A field.
    Child(&'a Path<'a>, &'a str),
    /// A member of a map.
    Key(&'a Path<'a>, &'a str),
    /// An item of a list.
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn child(&'a self, name: &'a str) -> Path<'a> {
        Path::Child(self, name)
    }

    pub(crate) fn key(&'a self, name: &'a str) -> Path<'a> {
        Path::Key(self, name)
    }

    pub(crate) fn index(&'a self, at: usize) -> Path<'a> {
        Path::Index(self, at)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::From(text) => f.write_str(text),
            Path::Child(above, name) => {
                let start = matches!(above, Path::Root | Path::From(""));
                write!(f, "{above}{}{name}", if start { "" } else { "." })
            }
            Path::Key(above, name) => write!(f, "{above}[{name}]"),
            Path::Index(above, at) => write!(f, "{above}[{at}]"),
        }
    }
}
