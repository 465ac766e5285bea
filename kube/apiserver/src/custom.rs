//! Custom resources: what a CustomResourceDefinition says about the objects of one version.

/// One version of a custom kind.
#[derive(Debug)]
pub struct CustomKind {
    /// The name of the definition, `plural.group`.
    pub definition: String,
}
