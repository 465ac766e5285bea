//! Pod security standards.

/// Pod security where a namespace says nothing.
#[derive(Clone, Debug, Default)]
pub struct PodSecurityConfig {}
