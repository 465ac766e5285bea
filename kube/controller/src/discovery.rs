//! What the API serves that can be listed, watched and deleted: the built-in table, and custom resources.

use controllers::Resource;
use kube_object::resource::GroupVersionResource;
use kube_schema::{Kind, Schema, Scope};
use serde_json::Value;

/// The built-in resources, each in the version that is served first: stable before beta. Alpha is served only
/// where somebody asks for it, and no loop does.
pub fn builtin() -> Vec<Resource> {
    let mut found: Vec<(Stability, Resource)> = Vec::new();
    for kind in Schema::builtin().kinds() {
        let Some(stability) = Stability::of(kind.gvk.version).filter(|_| is_followed(kind)) else { continue };
        let resource = Resource {
            gvr: GroupVersionResource::new(kind.gvk.group, kind.gvk.version, kind.plural),
            kind: kind.gvk.kind.to_owned(),
            namespaced: kind.scope == Scope::Namespaced,
            delete_collection: kind.verbs.contains(&"deletecollection"),
        };
        let same = |known: &Resource| {
            known.gvr.group == resource.gvr.group && known.gvr.resource == resource.gvr.resource
        };
        match found.iter_mut().find(|(_, known)| same(known)) {
            Some(known) if known.0 <= stability => *known = (stability, resource),
            Some(_) => {}
            None => found.push((stability, resource)),
        }
    }
    found.into_iter().map(|(_, resource)| resource).collect()
}

/// These resources and those of custom resource definitions, in their storage version if it is served.
pub fn with_definitions<'a>(
    mut resources: Vec<Resource>,
    definitions: impl IntoIterator<Item = &'a Value>,
) -> Vec<Resource> {
    use controllers::{conditions, object};
    for definition in definitions {
        if !conditions::holds(definition, "Established") || object::is_deleting(definition) {
            continue;
        }
        let versions = object::items(definition, &["spec", "versions"]);
        let served = || versions.iter().filter(|version| object::flag(version, &["served"]));
        let stored = served().find(|version| object::flag(version, &["storage"]));
        let Some(version) = stored.or_else(|| served().next()) else { continue };
        let names = |member: &str| object::text(definition, &["status", "acceptedNames", member]);
        resources.push(Resource {
            gvr: GroupVersionResource::new(
                object::text(definition, &["spec", "group"]),
                object::text(version, &["name"]),
                names("plural"),
            ),
            kind: names("kind").to_owned(),
            namespaced: object::text(definition, &["spec", "scope"]) == "Namespaced",
            delete_collection: true,
        });
    }
    resources
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Beta,
    Stable,
}

impl Stability {
    fn of(version: &str) -> Option<Self> {
        if version.contains("alpha") {
            return None;
        }
        Some(if version.contains("beta") { Self::Beta } else { Self::Stable })
    }
}

fn is_followed(kind: &Kind) -> bool {
    // Events own nothing, are owned by nothing, and are many; they end by themselves.
    let verbs = ["list", "watch", "delete"];
    kind.gvk.kind != "Event" && verbs.iter().all(|verb| kind.verbs.contains(verb))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_version_each() {
        let all = builtin();
        let of = |name: &str| {
            let found: Vec<_> = all.iter().filter(|found| found.gvr.resource == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].clone()
        };
        assert_eq!(of("pods").gvr.api_version(), "v1");
        assert_eq!(of("horizontalpodautoscalers").gvr.version, "v2");
        assert!(!of("nodes").namespaced);
        assert!(all.iter().all(|found| found.kind != "Event" && !found.gvr.version.contains("alpha")));
    }

    #[test]
    fn custom_resources() {
        let definition = json!({
            "spec": {"group": "example.com", "scope": "Namespaced", "versions": [
                {"name": "v2", "served": true, "storage": false}, {"name": "v1", "served": true, "storage": true}]},
            "status": {"acceptedNames": {"plural": "widgets", "kind": "Widget"},
                "conditions": [{"type": "Established", "status": "True"}]},
        });
        let found = with_definitions(Vec::new(), [&definition, &json!({})]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].gvr.api_version().as_str(), found[0].kind.as_str()),
            ("example.com/v1", "Widget")
        );
    }
}
