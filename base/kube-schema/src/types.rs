//! What the table says: kinds, objects, fields and types.

/// Group, version and kind; core's group is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk<'a> {
    /// The API group.
    pub group: &'a str,
    /// The version in the group.
    pub version: &'a str,
    /// The kind, in CamelCase.
    pub kind: &'a str,
}

/// Whether objects live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for each namespace.
    Namespaced,
    /// One set of names for the cluster.
    Cluster,
}

/// A kind with a resource of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its identity.
    pub gvk: Gvk<'static>,
    /// The resource's name in URLs.
    pub plural: &'static str,
    /// The kind in lower case.
    pub singular: &'static str,
    /// Whether it lives in a namespace.
    pub scope: Scope,
    /// Abbreviations that clients accept.
    pub short_names: Box<[&'static str]>,
    /// Groups of resources it is listed with, such as `all`.
    pub categories: Box<[&'static str]>,
    /// Verbs of the resource, as discovery names them, sorted.
    pub verbs: Box<[&'static str]>,
    /// Subresources, by name.
    pub subresources: Box<[Subresource]>,
    /// The object's type.
    pub object: TypeId,
}

impl Kind {
    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }
}

/// A part of a resource with a URL of its own, such as `status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// The last part of its URL.
    pub name: &'static str,
    /// The kind that it speaks, such as autoscaling/v1 Scale.
    pub gvk: Gvk<'static>,
    /// Its verbs, sorted.
    pub verbs: Box<[&'static str]>,
}

/// Identity of an object type in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeId(pub(crate) usize);

/// How a map or an object is merged by apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// Each entry has its own owner.
    Granular,
    /// The whole has one owner.
    Atomic,
}

/// How a list is merged by apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// The whole has one owner; also what holds where nothing is said.
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, identified by their keys.
    Map,
}

/// How strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// Lists are merged by their key or as a set.
    pub merge: bool,
    /// Keys that the patch does not name are dropped (`retainKeys`).
    pub retain_keys: bool,
    /// The patch's value takes the place of the old one.
    pub replace: bool,
}

/// An object type.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// The definition's name.
    pub name: &'static str,
    /// How apply merges it.
    pub map_type: MapType,
    /// Fields, sorted by name.
    pub fields: Box<[Field]>,
}

impl Object {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
        Some(&self.fields[at])
    }
}

/// A field of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether the API description demands it.
    pub required: bool,
    /// Whether a zero, an empty string or false is written out, rather than left out as if it were
    /// not set; of scalars only.
    pub keeps_zero: bool,
    /// How apply merges what it holds, where the field overrides its type.
    pub map_type: Option<MapType>,
    /// How strategic merge patch treats it.
    pub patch: PatchStrategy,
    /// The key of strategic merge patch, which may differ from apply's.
    pub merge_key: Option<&'static str>,
    /// The numbers on the protobuf wire: several where the field lies in messages that JSON flattens,
    /// as `Volume.hostPath` does; none where protobuf has no such field.
    pub numbers: Box<[u32]>,
    /// The static default, as JSON.
    pub default: Option<&'static str>,
}

/// The type of a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Type {
    /// An object with known fields.
    Object(TypeId),
    /// String keys and values of one type.
    Map(Box<Type>),
    /// A list.
    List {
        /// The type of an item.
        item: Box<Type>,
        /// How apply merges it.
        list_type: ListType,
        /// The fields that identify an item of a map list.
        keys: Box<[&'static str]>,
    },
    /// A string.
    String {
        /// The OpenAPI format, such as `byte`.
        format: Option<&'static str>,
        /// The values it may have; empty where any goes.
        values: Box<[&'static str]>,
    },
    /// A signed number of this many bits.
    Int(u8),
    /// A floating-point number.
    Double,
    /// `true` or `false`.
    Bool,
    /// `resource.Quantity`, such as `500m`.
    Quantity,
    /// A number or a string.
    IntOrString,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Any JSON.
    Any,
}

impl Type {
    /// The object type that this is, or holds through lists and maps.
    pub fn inner(&self) -> Option<TypeId> {
        match self {
            Type::Object(id) => Some(*id),
            Type::Map(item) | Type::List { item, .. } => item.inner(),
            _ => None,
        }
    }

    /// Bytes on the heap below this type.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Type::Map(item) => size_of::<Type>() + item.memory(),
            Type::List { item, keys, .. } => size_of::<Type>() + item.memory() + size_of_val(&**keys),
            Type::String { values, .. } => size_of_val(&**values),
            _ => 0,
        }
    }
}
