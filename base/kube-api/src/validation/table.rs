//! Which rules a kind has.

use kube_object::names;
use kube_object::resource::GroupVersionKind;

use super::Rules;

/// Rules of a kind that has none of its own.
pub(crate) const PLAIN: Rules = Rules {
    name: |name, prefix| names::dns1123_subdomain(&super::metadata::masked(name, prefix)),
    create: |_, _, _| {},
    update: |gvk, new, _, errors| (rules(gvk).create)(gvk, new, errors),
    subresource: |_, _, _, _, _| {},
};

/// The rules of a kind.
pub(crate) fn rules(_gvk: &GroupVersionKind) -> Rules {
    PLAIN
}
