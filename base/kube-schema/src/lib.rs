//! The Kubernetes API as data: kinds, fields, types, list and merge keys.
//!
//! The table is `data/schema.txt`, written by `cargo xtask codegen`; its format and
//! its sources are described in `docs/design/schema.md`.

mod parse;
mod types;

use std::collections::HashMap;
use std::sync::OnceLock;

pub use parse::TableError;
pub use types::{
    Field, Gvk, Kind, ListType, MapType, Object, PatchStrategy, Scope, Subresource, Type, TypeId,
};

/// The built-in table as text.
const TABLE: &str = include_str!("../data/schema.txt");

/// A decoded table: every lookup is a hash or a binary search, and allocates nothing.
#[derive(Debug)]
pub struct Schema {
    release: &'static str,
    kinds: Vec<Kind>,
    objects: Vec<Object>,
    by_gvk: HashMap<Gvk<'static>, usize>,
    by_resource: HashMap<Gvk<'static>, usize>,
    by_name: HashMap<&'static str, TypeId>,
}

impl Schema {
    /// The built-in kinds of the Kubernetes release that the table is of; decoded once.
    ///
    /// # Panics
    /// Never with a committed table: the tests decode the same bytes.
    pub fn builtin() -> &'static Schema {
        static BUILTIN: OnceLock<Schema> = OnceLock::new();
        BUILTIN.get_or_init(|| Schema::parse(TABLE).expect("the tests decode the same bytes"))
    }

    /// Decodes a table; the result borrows its text.
    pub fn parse(text: &'static str) -> Result<Schema, TableError> {
        let (release, kinds, objects) = parse::table(text)?;
        let numbered = || kinds.iter().enumerate();
        let by_gvk = numbered().map(|(at, kind)| (kind.gvk, at)).collect();
        let by_resource = numbered().map(|(at, kind)| (Gvk { kind: kind.plural, ..kind.gvk }, at)).collect();
        let by_name = objects.iter().enumerate().map(|(at, object)| (object.name, TypeId(at))).collect();
        Ok(Schema { release, kinds, objects, by_gvk, by_resource, by_name })
    }

    /// The Kubernetes release, such as `1.36`.
    pub fn release(&self) -> &'static str {
        self.release
    }

    /// All kinds that have a resource, by group, version and plural.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kind of a group (`""` is core), version and kind.
    pub fn kind(&self, gvk: Gvk<'_>) -> Option<&Kind> {
        self.by_gvk.get(&gvk).map(|at| &self.kinds[*at])
    }

    /// The kind of a resource, as it stands in a URL.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        self.by_resource.get(&Gvk { group, version, kind: plural }).map(|at| &self.kinds[*at])
    }

    /// The kinds that a user may mean by a plural, a singular or a short name.
    pub fn resolve_short_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Kind> {
        self.kinds.iter().filter(move |kind| {
            kind.plural == name || kind.singular == name || kind.short_names.contains(&name)
        })
    }

    /// An object type by its identity.
    pub fn object(&self, id: TypeId) -> &Object {
        &self.objects[id.0]
    }

    /// An object type by its definition's name, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn object_named(&self, name: &str) -> Option<&Object> {
        self.by_name.get(name).map(|id| &self.objects[id.0])
    }

    /// The identity of an object type by its definition's name.
    pub fn object_id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// All object types, by name.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The field of a kind at a path of names; lists and maps are stepped through without a name of
    /// their own, so `["spec", "containers", "ports"]` is a container's ports.
    pub fn field(&self, gvk: Gvk<'_>, path: &[&str]) -> Option<&Field> {
        let (last, before) = path.split_last()?;
        let mut object = self.object(self.kind(gvk)?.object);
        for name in before {
            object = self.object(object.field(name)?.kind.inner()?);
        }
        object.field(last)
    }

    /// Bytes of memory that the table holds: its text and the decoded index, by estimate.
    pub fn memory(&self) -> usize {
        let of_type = |kind: &Type| kind.memory();
        let fields = self.objects.iter().flat_map(|object| object.fields.iter());
        TABLE.len()
            + size_of_val(self.kinds.as_slice())
            + size_of_val(self.objects.as_slice())
            + fields.map(|field| size_of::<Field>() + of_type(&field.kind)).sum::<usize>()
            + (self.by_gvk.capacity() + self.by_resource.capacity()) * size_of::<(Gvk<'_>, usize)>()
            + self.by_name.capacity() * size_of::<(&str, usize)>()
    }
}

#[cfg(test)]
mod tests;
