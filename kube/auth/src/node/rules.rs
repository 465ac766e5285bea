//! The fixed rules of `system:node`, for what no relation decides.

use std::sync::OnceLock;

use crate::bootstrap;
use crate::rbac::Rule;

/// The rules of the bootstrap role `system:node`.
pub(super) fn node_rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(bootstrap::node_rules)
}
