//! Where objects lie: `/registry/GROUP/RESOURCE/NAMESPACE/NAME`, `core` for the group without a name.

use bytes::Bytes;
use kube_object::resource::GroupResource;

/// All objects.
pub(crate) const PREFIX: &str = "/registry/";

const CORE: &str = "core";

/// The objects of a resource; of one namespace if it is not empty.
pub(crate) fn prefix(resource: &GroupResource, namespace: &str) -> String {
    let group = if resource.group.is_empty() { CORE } else { &resource.group };
    let mut prefix = format!("{PREFIX}{group}/{}/", resource.resource);
    if !namespace.is_empty() {
        prefix.push_str(namespace);
        prefix.push('/');
    }
    prefix
}

/// One object.
pub(crate) fn key(resource: &GroupResource, namespace: &str, name: &str) -> Bytes {
    let mut key = prefix(resource, namespace);
    key.push_str(name);
    key.into()
}

/// The resource that a key belongs to, and the rest: `namespace/name` or `name`.
pub(crate) fn place(key: &[u8]) -> Option<(GroupResource, &str)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (group, rest) = rest.split_once('/')?;
    let (resource, rest) = rest.split_once('/')?;
    let group = if group == CORE { "" } else { group };
    (!rest.is_empty()).then(|| (GroupResource::new(group, resource), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_both_ways() {
        for (group, resource, namespace, name, text) in [
            ("", "pods", "shop", "web", "/registry/core/pods/shop/web"),
            ("apps", "deployments", "shop", "web", "/registry/apps/deployments/shop/web"),
            ("", "nodes", "", "n1", "/registry/core/nodes/n1"),
        ] {
            let resource = GroupResource::new(group, resource);
            let key = key(&resource, namespace, name);
            assert_eq!(key, text);
            let rest = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
            assert_eq!(place(&key), Some((resource, rest.as_str())));
        }
        assert_eq!(place(b"/registry/core/pods/"), None);
        assert_eq!(place(b"/other/core/pods/x"), None);
    }
}
