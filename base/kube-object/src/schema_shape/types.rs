//! [`Shape`] over the table's objects, fields and types. Nothing is built: each
//! answer is a look into the table.

use kube_schema::{Field, ListType, MapType, Object, Schema, Type};
use serde_json::Value;

use crate::resource::GroupVersionKind;
use crate::shape::{Atom, Keys, ListKind, PatchList, Shape};

/// The type of a built-in kind; none for others.
pub fn of(gvk: &GroupVersionKind) -> Option<&'static dyn Shape> {
    super::root(gvk).map(|object| object as &dyn Shape)
}

/// The type of a definition, such as `io.k8s.api.core.v1.PodSpec`.
pub fn of_definition(name: &str) -> Option<&'static dyn Shape> {
    Schema::builtin().object_named(name).map(|object| object as &dyn Shape)
}

impl Shape for Object {
    fn field(&self, name: &str) -> Option<&dyn Shape> {
        Object::field(self, name).map(|field| field as &dyn Shape)
    }

    fn item(&self) -> Option<&dyn Shape> {
        None
    }

    fn declares(&self, name: &str) -> bool {
        Object::field(self, name).is_some()
    }

    fn atom(&self) -> Option<Atom> {
        // An object without fields is one of any fields.
        Some(Atom::Map { closed: !self.fields.is_empty() })
    }

    fn is_atomic_map(&self) -> bool {
        self.map_type == MapType::Atomic
    }
}

impl Shape for Field {
    fn field(&self, name: &str) -> Option<&dyn Shape> {
        self.kind.field(name)
    }

    fn item(&self) -> Option<&dyn Shape> {
        self.kind.item()
    }

    fn declares(&self, name: &str) -> bool {
        self.kind.declares(name)
    }

    fn is_open(&self) -> bool {
        self.kind.is_open()
    }

    fn atom(&self) -> Option<Atom> {
        self.kind.atom()
    }

    fn list(&self) -> ListKind<'_> {
        self.kind.list()
    }

    fn is_atomic_map(&self) -> bool {
        self.map_type.map_or_else(|| self.kind.is_atomic_map(), |map| map == MapType::Atomic)
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        self.kind.key_default(key)
    }

    fn patch_list(&self) -> PatchList<'_> {
        match (&self.kind, self.merge_key) {
            (Type::List { .. }, Some(key)) if self.patch.merge => PatchList::MergeBy(key),
            (Type::List { .. }, None) if self.patch.merge => PatchList::MergeScalars,
            _ => PatchList::Replace,
        }
    }

    fn patch_replaces_map(&self) -> bool {
        self.patch.replace
    }
}

impl Shape for Type {
    fn field(&self, name: &str) -> Option<&dyn Shape> {
        match self {
            Type::Map(value) => Some(&**value),
            _ => super::object_of(self)?.field(name).map(|field| field as &dyn Shape),
        }
    }

    fn item(&self) -> Option<&dyn Shape> {
        match self {
            Type::List { item, .. } => Some(&**item),
            _ => None,
        }
    }

    fn declares(&self, name: &str) -> bool {
        super::object_of(self).is_some_and(|object| object.field(name).is_some())
    }

    fn is_open(&self) -> bool {
        matches!(self, Type::Any)
    }

    fn atom(&self) -> Option<Atom> {
        match self {
            Type::Object(_) => super::object_of(self)?.atom(),
            Type::Map(_) => Some(Atom::Map { closed: false }),
            Type::List { .. } => Some(Atom::List),
            Type::String { .. } => Some(Atom::Text),
            Type::Int(_) | Type::Double => Some(Atom::Number),
            Type::Bool => Some(Atom::Flag),
            // Their own decoders say what they take.
            Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime | Type::Any => None,
        }
    }

    fn list(&self) -> ListKind<'_> {
        match self {
            Type::List { list_type: ListType::Set, .. } => ListKind::Set,
            Type::List { list_type: ListType::Map, keys, .. } => ListKind::Map(Keys::Table(keys)),
            _ => ListKind::Atomic,
        }
    }

    fn is_atomic_map(&self) -> bool {
        super::object_of(self).is_some_and(|object| object.map_type == MapType::Atomic)
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        let Type::List { item, .. } = self else { return None };
        serde_json::from_str(super::object_of(item)?.field(key)?.default?).ok()
    }
}
