//! What an expression may name: variables with their types, objects with their fields,
//! and the libraries.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::Type;

/// What values of a JSON document are in the language, and how large they may be.
#[derive(Clone, Debug)]
pub struct Decl {
    /// The type in expressions.
    pub ty: Type,
    /// How its JSON is read.
    pub form: Form,
    /// Most characters, items or entries.
    pub max_elements: u64,
    /// The fewest bytes that one takes up in a request.
    pub min_size: u64,
}

/// How the JSON of a declared value is read.
#[derive(Clone, Debug)]
pub enum Form {
    /// By its own form: numbers without a fraction are int, others double.
    Any,
    /// As it stands; the type says the rest.
    Plain,
    /// Base64 of bytes.
    Bytes,
    /// `2006-01-02`.
    Date,
    /// RFC 3339.
    DateTime,
    /// Go's `1h30m`.
    Duration,
    /// A list.
    List {
        /// Its items.
        item: Arc<Decl>,
        /// What makes it equal to another, and what `+` does.
        kind: ListKind,
    },
    /// A map with free keys.
    Map(Arc<Decl>),
    /// An object: the fields by their names in expressions, with those in JSON.
    Object(BTreeMap<Arc<str>, (Arc<str>, Arc<Decl>)>),
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// Item by item, in order.
    #[default]
    Atomic,
    /// The order does not matter.
    Set,
    /// The order does not matter; these fields identify an item.
    Map(Arc<[String]>),
}

impl Decl {
    /// Anything.
    pub fn any() -> Self {
        Self { ty: Type::Dyn, form: Form::Any, max_elements: REQUEST_BYTES_MAX - 2, min_size: 1 }
    }

    /// `bool`, `int`, `uint` or `double`, or a string of at most so many characters.
    pub fn plain(ty: Type, max_elements: u64, min_size: u64) -> Self {
        Self { ty, form: Form::Plain, max_elements, min_size }
    }

    /// A string that only the size of requests limits.
    pub fn string() -> Self {
        Self::plain(Type::String, REQUEST_BYTES_MAX - 2, 2)
    }

    /// A list; without a limit as many items as a request can hold.
    pub fn list(item: Decl, max_items: Option<u64>, kind: ListKind) -> Self {
        let max_elements = max_items.unwrap_or((REQUEST_BYTES_MAX - 2) / (item.min_size + 1));
        let ty = Type::list(item.ty.clone());
        Self { ty, form: Form::List { item: Arc::new(item), kind }, max_elements, min_size: 2 }
    }

    /// A map; without a limit as many entries as a request can hold.
    pub fn map(value: Decl, max_properties: Option<u64>) -> Self {
        let max_elements = max_properties.unwrap_or((REQUEST_BYTES_MAX - 2) / (value.min_size + 6));
        let ty = Type::map(Type::String, value.ty.clone());
        Self { ty, form: Form::Map(Arc::new(value)), max_elements, min_size: 2 }
    }

    /// An object; the fields by their names in JSON. Fields whose names cannot be
    /// escaped are not seen.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (String, Decl)>, min_size: u64) -> Self {
        let fields = fields.into_iter().filter_map(|(json, decl)| {
            let seen = crate::names::escape(&json)?;
            Some((Arc::from(seen), (Arc::from(json), Arc::new(decl))))
        });
        let form = Form::Object(fields.collect());
        Self { ty: Type::Object(name.into()), form, max_elements: 0, min_size }
    }

    /// Gives this object and all below names that begin with this.
    pub fn named(mut self, name: &str) -> Self {
        self.rename(name);
        self
    }

    fn rename(&mut self, name: &str) {
        match &mut self.form {
            Form::List { item, .. } => {
                Arc::make_mut(item).rename(&format!("{name}.@idx"));
                self.ty = Type::list(item.ty.clone());
            }
            Form::Map(value) => {
                Arc::make_mut(value).rename(&format!("{name}.@elem"));
                self.ty = Type::map(Type::String, value.ty.clone());
            }
            Form::Object(fields) => {
                for (field, (_, decl)) in fields.iter_mut() {
                    Arc::make_mut(decl).rename(&format!("{name}.{field}"));
                }
                self.ty = Type::Object(name.into());
            }
            _ => {}
        }
    }

    pub(crate) fn each_object<'a>(&'a self, visit: &mut dyn FnMut(&'a Decl)) {
        match &self.form {
            Form::List { item: below, .. } | Form::Map(below) => below.each_object(visit),
            Form::Object(fields) => {
                visit(self);
                fields.values().for_each(|(_, below)| below.each_object(visit));
            }
            _ => {}
        }
    }

    /// The field of this name in expressions.
    pub(crate) fn field(&self, name: &str) -> Option<&(Arc<str>, Arc<Decl>)> {
        match &self.form {
            Form::Object(fields) => fields.get(name),
            _ => None,
        }
    }
}

/// A variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) ty: Type,
    pub(crate) decl: Option<Arc<Decl>>,
}

/// What expressions are compiled in.
#[derive(Clone, Debug, Default)]
pub struct Env {
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) types: BTreeMap<Arc<str>, Arc<Decl>>,
    /// Whether there is an `authorizer`.
    pub(crate) authorizer: bool,
    /// Whether `Object{}` and `JSONPatch{}` can be made.
    pub(crate) mutation: bool,
    /// Whether there is `cel.bind`.
    pub(crate) bind: bool,
    /// Whether there are upstream's `math` and `base64`.
    pub(crate) extras: bool,
}

impl Env {
    /// The libraries of Kubernetes, and no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable that may be anything.
    pub fn with_any(self, name: &str) -> Self {
        self.with_type(name, Type::Dyn)
    }

    /// With a variable of a type.
    pub fn with_type(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.to_owned(), Variable { ty, decl: None });
        self
    }

    /// With a variable whose value is JSON of this form. Objects below need names: see
    /// [`Decl::named`].
    pub fn with_decl(mut self, name: &str, decl: &Arc<Decl>) -> Self {
        self.learn(decl);
        self.variables
            .insert(name.to_owned(), Variable { ty: decl.ty.clone(), decl: Some(Arc::clone(decl)) });
        self
    }

    /// With a variable that is an optional of this form.
    pub fn with_optional_decl(mut self, name: &str, decl: &Arc<Decl>) -> Self {
        self.learn(decl);
        let ty = Type::optional(decl.ty.clone());
        self.variables.insert(name.to_owned(), Variable { ty, decl: Some(Arc::clone(decl)) });
        self
    }

    fn learn(&mut self, decl: &Arc<Decl>) {
        let mut found = Vec::new();
        decl.each_object(&mut |object| {
            if let Type::Object(name) = &object.ty {
                found.push((Arc::clone(name), Arc::new(object.clone())));
            }
        });
        self.types.extend(found);
    }

    /// With `authorizer` and `authorizer.requestResource`.
    pub fn with_authorizer(mut self) -> Self {
        self.authorizer = true;
        self.with_type("authorizer", Type::Opaque(AUTHORIZER))
    }

    /// With `Object{…}` and `JSONPatch{…}`.
    pub fn with_mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// With `cel.bind`, which Kubernetes does not switch on.
    pub fn with_bind(mut self) -> Self {
        self.bind = true;
        self
    }

    /// With the libraries `math` and `base64`, which Kubernetes does not switch on.
    pub fn with_extras(mut self) -> Self {
        self.extras = true;
        self
    }
}

pub(crate) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub(crate) const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
pub(crate) const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
pub(crate) const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
pub(crate) const DECISION: &str = "kubernetes.authorization.Decision";
/// The largest request.
pub const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
