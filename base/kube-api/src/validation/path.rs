//! Where in an object a value stands: a chain on the stack, written out only for an error.

use std::fmt;

/// A path such as `spec.containers[0].name`.
#[derive(Clone, Copy, Debug)]
pub enum PathRef<'a> {
    /// The first name; empty for the whole object.
    Root(&'a str),
    /// A named member.
    Child(&'a PathRef<'a>, &'a str),
    /// An item of a list.
    Index(&'a PathRef<'a>, usize),
    /// An entry of a map.
    Key(&'a PathRef<'a>, &'a str),
}

impl<'a> PathRef<'a> {
    /// A named member below.
    pub fn child(&'a self, name: &'a str) -> Self {
        Self::Child(self, name)
    }

    /// An item of the list here.
    pub fn index(&'a self, at: usize) -> Self {
        Self::Index(self, at)
    }

    /// An entry of the map here.
    pub fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }
}

impl fmt::Display for PathRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) | Self::Child(Self::Root(""), name) => f.write_str(name),
            Self::Child(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, at) => write!(f, "{parent}[{at}]"),
            Self::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

impl From<PathRef<'_>> for String {
    fn from(path: PathRef<'_>) -> Self {
        path.to_string()
    }
}

impl From<&PathRef<'_>> for String {
    fn from(path: &PathRef<'_>) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_upstream() {
        let spec = PathRef::Root("spec");
        let ports = spec.child("ports");
        assert_eq!(ports.index(2).child("name").to_string(), "spec.ports[2].name");
        assert_eq!(PathRef::Root("data").key("a.b").to_string(), "data[a.b]");
        assert_eq!(PathRef::Root("").child("kind").to_string(), "kind");
    }
}
