//! What a merge must know of a field's type.
//!
//! The schema of the API implements [`Shape`]; what is unknown is merged by the
//! form of its value alone, as for a kind without a schema.

/// A type, as merges see it.
pub trait Shape: Send + Sync {
    /// The type of a field, or of a map's value under this key; none if it is not known.
    fn field(&self, name: &str) -> Option<&dyn Shape>;

    /// The type of a list's items.
    fn item(&self) -> Option<&dyn Shape>;

    /// Whether a field of this name is declared, rather than a map's key that is data.
    fn declares(&self, name: &str) -> bool;

    /// Whether an object here may hold anything (`x-kubernetes-preserve-unknown-fields`).
    fn is_open(&self) -> bool {
        false
    }

    /// What a value here must be for server-side apply; none if it may be anything.
    fn atom(&self) -> Option<Atom> {
        None
    }

    /// What identifies the items of this list in server-side apply
    /// (`x-kubernetes-list-type`).
    fn list(&self) -> ListKind<'_> {
        ListKind::Atomic
    }

    /// Whether this object is replaced whole (`x-kubernetes-map-type: atomic`).
    fn is_atomic_map(&self) -> bool {
        false
    }

    /// The value that a list's key has if an item leaves it out (`protocol: TCP`).
    fn key_default(&self, _key: &str) -> Option<serde_json::Value> {
        None
    }

    /// How a strategic merge patch treats this list (`x-kubernetes-patch-strategy`).
    fn patch_list(&self) -> PatchList<'_> {
        PatchList::Replace
    }

    /// Whether a strategic merge patch replaces this object whole.
    fn patch_replaces_map(&self) -> bool {
        false
    }
}

/// What a value is, as server-side apply tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atom {
    /// An object.
    Map {
        /// Whether it has no fields but the declared ones.
        closed: bool,
    },
    /// A list.
    List,
    /// A number.
    Number,
    /// A string.
    Text,
    /// True or false.
    Flag,
}

/// What identifies the items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind<'a> {
    /// Nothing: the list is one value.
    Atomic,
    /// Their value.
    Set,
    /// The values of these fields.
    Map(Keys<'a>),
}

/// The names of the fields that identify an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys<'a> {
    /// Of the built-in table.
    Table(&'a [&'static str]),
    /// Of a schema that came with a request.
    Owned(&'a [String]),
}

impl<'a> Keys<'a> {
    /// The names, in their order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let (table, owned): (&'a [&'static str], &'a [String]) = match self {
            Keys::Table(names) => (names, &[]),
            Keys::Owned(names) => (&[], names),
        };
        table.iter().copied().chain(owned.iter().map(String::as_str))
    }
}

/// How a strategic merge patch treats a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchList<'a> {
    /// The patch's list takes its place.
    Replace,
    /// Scalars are united.
    MergeScalars,
    /// Objects with the same value in this field are merged.
    MergeBy(&'a str),
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;

    /// A shape described as JSON: `fields`, `values`, `item`, `list`, `keys`,
    /// `defaults`, `atomic`, `open`, `merge`, `replace`.
    #[derive(Default)]
    pub(crate) struct Described {
        fields: std::collections::BTreeMap<String, Described>,
        values: Option<Box<Described>>,
        item: Option<Box<Described>>,
        list: String,
        keys: Vec<String>,
        defaults: Value,
        atomic: bool,
        open: bool,
        merge: Option<String>,
        replace: bool,
    }

    impl Described {
        pub(crate) fn new(text: &Value) -> Self {
            let string = |name: &str| text[name].as_str().map(str::to_owned);
            let one = |name: &str| text.get(name).map(|value| Box::new(Self::new(value)));
            let fields = text["fields"].as_object().into_iter().flatten();
            let keys = text["keys"].as_array().into_iter().flatten();
            Self {
                fields: fields.map(|(name, value)| (name.clone(), Self::new(value))).collect(),
                values: one("values"),
                item: one("item"),
                list: string("list").unwrap_or_default(),
                keys: keys.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
                defaults: text["defaults"].clone(),
                atomic: text["atomic"] == true,
                open: text["open"] == true,
                merge: string("merge"),
                replace: text["replace"] == true,
            }
        }
    }

    impl Shape for Described {
        fn field(&self, name: &str) -> Option<&dyn Shape> {
            let found = self.fields.get(name).or(self.values.as_deref())?;
            Some(found)
        }
        fn declares(&self, name: &str) -> bool {
            self.fields.contains_key(name)
        }
        fn item(&self) -> Option<&dyn Shape> {
            self.item.as_deref().map(|item| item as &dyn Shape)
        }
        fn list(&self) -> ListKind<'_> {
            match self.list.as_str() {
                "set" => ListKind::Set,
                "map" => ListKind::Map(Keys::Owned(&self.keys)),
                _ => ListKind::Atomic,
            }
        }
        fn is_open(&self) -> bool {
            self.open
        }
        fn is_atomic_map(&self) -> bool {
            self.atomic
        }
        fn key_default(&self, key: &str) -> Option<Value> {
            self.defaults.get(key).cloned()
        }
        fn patch_list(&self) -> PatchList<'_> {
            match self.merge.as_deref() {
                None => PatchList::Replace,
                Some("") => PatchList::MergeScalars,
                Some(key) => PatchList::MergeBy(key),
            }
        }
        fn patch_replaces_map(&self) -> bool {
            self.replace
        }
    }
}
