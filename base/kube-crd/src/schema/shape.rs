//! A schema as merges see it. Strategic merge patch is refused for custom resources,
//! so nothing is said about it.

use kube_object::schema_shape;
use kube_object::shape::{Atom, Keys, ListKind, Shape};
use serde_json::Value;

use super::{Additional, Structural, is_meta_field};

impl Shape for Structural {
    fn field(&self, name: &str) -> Option<&dyn Shape> {
        if self.is_resource() && is_meta_field(name) {
            return if name == "metadata" { schema_shape::of_definition(OBJECT_META) } else { Some(&Scalar) };
        }
        self.child(name).map(|below| below as &dyn Shape)
    }

    fn item(&self) -> Option<&dyn Shape> {
        self.items.as_deref().map(|below| below as &dyn Shape)
    }

    fn declares(&self, name: &str) -> bool {
        self.properties.contains_key(name) || (self.is_resource() && is_meta_field(name))
    }

    fn is_open(&self) -> bool {
        self.preserve
    }

    fn atom(&self) -> Option<Atom> {
        match self.kind.as_str() {
            "object" => Some(Atom::Map { closed: !self.takes_undeclared() }),
            "array" => Some(Atom::List),
            "string" => Some(Atom::Text),
            "integer" | "number" => Some(Atom::Number),
            "boolean" => Some(Atom::Flag),
            _ => None,
        }
    }

    fn list(&self) -> ListKind<'_> {
        match self.list_type.as_deref() {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(Keys::Owned(&self.list_keys)),
            _ => ListKind::Atomic,
        }
    }

    fn is_atomic_map(&self) -> bool {
        self.map_type.as_deref() == Some("atomic")
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        self.items.as_ref()?.properties.get(key)?.default.clone()
    }
}

impl Structural {
    /// An object without fields is one of any fields.
    fn takes_undeclared(&self) -> bool {
        match &self.additional {
            _ if self.preserve => true,
            Some(Additional::Any(any)) => *any,
            Some(Additional::Schema(_)) => true,
            None => self.properties.is_empty() && !self.is_resource(),
        }
    }
}

struct Scalar;

impl Shape for Scalar {
    fn atom(&self) -> Option<Atom> {
        Some(Atom::Text)
    }

    fn field(&self, _name: &str) -> Option<&dyn Shape> {
        None
    }

    fn item(&self) -> Option<&dyn Shape> {
        None
    }

    fn declares(&self, _name: &str) -> bool {
        false
    }
}

/// The definition of every object's metadata.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
