//! Which types the nodes of an expression have, and which functions they call.

mod unify;

use std::sync::Arc;

use crate::ast::{Ast, Expr, Field, Fold, Issue, Kind, Literal};
use crate::env::Env;
use crate::error::CompileError;
use crate::functions::{Library, Overload, overloads};
use crate::parse::qualified;
use crate::types::Type;
use unify::Unifier;

/// An expression whose types are known.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) ast: Ast,
    /// The type of each node.
    pub(crate) types: Vec<Type>,
    /// What each call may call.
    pub(crate) calls: Vec<Vec<&'static str>>,
    /// The variables of the environment that are named.
    pub(crate) references: Vec<Arc<str>>,
}

/// Finds the types.
pub(crate) fn check(mut ast: Ast, env: &Env) -> Result<Checked, CompileError> {
    let nodes = ast.places.len();
    let mut checker = Checker {
        env,
        unifier: Unifier::default(),
        types: vec![Type::Dyn; nodes],
        calls: vec![Vec::new(); nodes],
        places: &ast.places,
        issues: Vec::new(),
        scopes: Vec::new(),
        references: Vec::new(),
    };
    checker.expr(&mut ast.root);
    let Checker { unifier, types, calls, issues, references, .. } = checker;
    if !issues.is_empty() {
        return Err(CompileError { report: ast.source.describe(issues) });
    }
    let types: Vec<Type> = types.iter().map(|ty| unifier.resolved(ty)).collect();
    let checked = Checked { ast, types, calls, references };
    let issues = literals(&checked.ast);
    if !issues.is_empty() {
        return Err(CompileError { report: checked.ast.source.describe(issues) });
    }
    Ok(checked)
}

struct Checker<'e> {
    env: &'e Env,
    unifier: Unifier,
    types: Vec<Type>,
    calls: Vec<Vec<&'static str>>,
    places: &'e [usize],
    issues: Vec<Issue>,
    scopes: Vec<(Arc<str>, Type)>,
    references: Vec<Arc<str>>,
}

impl Checker<'_> {
    fn wrong(&mut self, id: usize, message: String) -> Type {
        let place = self.places.get(id).copied().unwrap_or(0);
        self.issues.push(Issue { place, message });
        Type::Error
    }

    fn expr(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let ty = match &mut expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => {
                let name = Arc::clone(name);
                self.ident(id, &name).unwrap_or_else(|| self.undeclared(id, &name))
            }
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => {
                let (mut key, mut value) = (None, None);
                for entry in entries {
                    let found = self.expr(&mut entry.key);
                    key = Some(self.join(key, found, entry.key.id));
                    let found = self.maybe_optional(&mut entry.value, entry.optional);
                    value = Some(self.join(value, found, entry.value.id));
                }
                let key = key.unwrap_or_else(|| self.unifier.fresh());
                let value = value.unwrap_or_else(|| self.unifier.fresh());
                Type::map(key, value)
            }
            Kind::Struct { name, fields } => {
                let name = Arc::clone(name);
                self.object(id, &name, fields)
            }
            Kind::Fold(fold) => self.fold(fold),
        };
        // Types can double with each step; nobody needs such ones.
        let ty = if self.unifier.weighs_less(&ty, TYPE_WEIGHT_MAX) { ty } else { Type::Dyn };
        if let Some(slot) = self.types.get_mut(id) {
            slot.clone_from(&ty);
        }
        ty
    }

    fn undeclared(&mut self, id: usize, name: &str) -> Type {
        self.wrong(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    /// The type of a name, if there is one.
    fn ident(&mut self, _id: usize, name: &str) -> Option<Type> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        if plain.len() == name.len()
            && let Some((_, ty)) = self.scopes.iter().rev().find(|(known, _)| **known == *name)
        {
            return Some(ty.clone());
        }
        if let Some(variable) = self.env.variables.get(plain) {
            if !self.references.iter().any(|known| **known == *plain) {
                self.references.push(plain.into());
            }
            return Some(variable.ty.clone());
        }
        if self.env.authorizer && plain == "authorizer.requestResource" {
            if !self.references.iter().any(|known| **known == *plain) {
                self.references.push(plain.into());
            }
            return Some(Type::Opaque(crate::env::RESOURCE_CHECK));
        }
        let ty = type_named(plain, &mut self.unifier)?;
        Some(Type::Type(Arc::new(ty)))
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        if let Some(name) = qualified(expr) {
            let first = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
            let local = self.scopes.iter().any(|(known, _)| **known == *first);
            if !local && let Some(ty) = self.ident(id, &name) {
                expr.kind = Kind::Ident(name.into());
                return ty;
            }
        }
        let Kind::Select { operand, field, test_only } = &mut expr.kind else { return Type::Error };
        let target = self.expr(operand);
        let ty = self.field(id, &target, &Arc::clone(field));
        if *test_only && ty != Type::Error { Type::Bool } else { ty }
    }

    fn field(&mut self, id: usize, target: &Type, field: &str) -> Type {
        match self.unifier.resolved_shallow(target) {
            Type::Optional(of) => match self.field(id, &of, field) {
                Type::Optional(of) => Type::Optional(of),
                other => Type::optional(other),
            },
            Type::Map(_, value) => value.as_ref().clone(),
            Type::Object(name) => match self.env.types.get(&name) {
                Some(decl) => match decl.field(field) {
                    Some((_, decl)) => decl.ty.clone(),
                    None => self.wrong(id, format!("undefined field '{field}'")),
                },
                None => Type::Dyn,
            },
            Type::Param(number) => {
                self.unifier.bind(number, Type::Dyn);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let other = self.unifier.resolved(&other);
                self.wrong(id, format!("type '{other}' does not support field selection"))
            }
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let Kind::Call { target, function, args } = &mut expr.kind else { return Type::Error };
        if let Some(object) = target {
            // A name with dots may be that of a function.
            let full = qualified(object).map(|name| format!("{name}.{function}"));
            if let Some(full) = full.filter(|full| self.known(full)) {
                *function = full.into();
                *target = None;
            }
        }
        let name = Arc::clone(function);
        let member = target.is_some();
        let mut types = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target {
            types.push(self.expr(target));
        }
        let ids: Vec<usize> = args.iter().map(|arg| arg.id).collect();
        for arg in args.iter_mut() {
            types.push(self.expr(arg));
        }
        let plain = name.strip_prefix('.').unwrap_or(&name);
        match plain {
            "_&&_" | "_||_" => return self.logic(id, plain, &types, &ids),
            "_?._" => {
                let field = match args.get(1).map(|arg| &arg.kind) {
                    Some(Kind::Literal(Literal::Text(field))) => Arc::clone(field),
                    _ => return Type::Error,
                };
                self.note_call(id, "select_optional_field");
                let inner = self.field(id, &types[0], &field);
                return if matches!(inner, Type::Optional(_) | Type::Error) {
                    inner
                } else {
                    Type::optional(inner)
                };
            }
            _ => {}
        }
        let Some(overloads) = overloads(plain).filter(|_| self.known(plain)) else {
            return self.undeclared(id, plain);
        };
        self.overload(id, plain, overloads, member, &types)
    }

    fn known(&self, name: &str) -> bool {
        overloads(name)
            .is_some_and(|list| list.iter().any(|one| one.library == Library::Always || self.env.extras))
    }

    fn note_call(&mut self, id: usize, overload: &'static str) {
        if let Some(calls) = self.calls.get_mut(id) {
            calls.push(overload);
        }
    }

    fn logic(&mut self, id: usize, name: &str, types: &[Type], ids: &[usize]) -> Type {
        self.note_call(id, if name == "_&&_" { "logical_and" } else { "logical_or" });
        let mut result = Type::Bool;
        for (ty, id) in types.iter().zip(ids) {
            if !self.unifier.assignable(ty, &Type::Bool) {
                let found = self.unifier.resolved(ty);
                result = self.wrong(*id, format!("expected type 'bool' but found '{found}'"));
            }
        }
        result
    }

    fn overload(
        &mut self,
        id: usize,
        name: &str,
        all: &'static [Overload],
        member: bool,
        types: &[Type],
    ) -> Type {
        let mut result: Option<Type> = None;
        for overload in all.iter().filter(|one| one.member == member && one.args.len() == types.len()) {
            let base = self.unifier.next;
            self.unifier.next += overload.params;
            let shift = |ty: &Type| shifted(ty, base);
            let wanted: Vec<Type> = overload.args.iter().map(shift).collect();
            if !self.unifier.all_assignable(types, &wanted) {
                continue;
            }
            self.note_call(id, overload.id);
            let ty = self.unifier.substituted(&shift(&overload.result));
            result = Some(match result {
                None => ty,
                Some(Type::Dyn) => Type::Dyn,
                Some(known) if known == ty => known,
                Some(_) => Type::Dyn,
            });
        }
        if let Some(result) = result {
            return result;
        }
        let shown: Vec<String> = types.iter().map(|ty| self.unifier.resolved(ty).to_string()).collect();
        let signature = match shown.split_first() {
            Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
            _ => format!("({})", shown.join(", ")),
        };
        self.wrong(id, format!("found no matching overload for '{name}' applied to '{signature}'"))
    }

    /// The type of an item or entry; of an optional one, what is in it.
    fn maybe_optional(&mut self, expr: &mut Expr, optional: bool) -> Type {
        let ty = self.expr(expr);
        if !optional {
            return ty;
        }
        match self.unifier.resolved_shallow(&ty) {
            Type::Optional(of) => of.as_ref().clone(),
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let (wanted, found) = (Type::optional(other.clone()), other);
                self.mismatch(expr.id, &wanted, &found)
            }
        }
    }

    fn mismatch(&mut self, id: usize, wanted: &Type, found: &Type) -> Type {
        let (wanted, found) = (self.unifier.resolved(wanted), self.unifier.resolved(found));
        self.wrong(id, format!("expected type '{wanted}' but found '{found}'"))
    }

    fn list(&mut self, items: &mut [Expr], optional: &[bool]) -> Type {
        let mut joined = None;
        for (item, optional) in items.iter_mut().zip(optional) {
            let found = self.maybe_optional(item, *optional);
            joined = Some(self.join(joined, found, item.id));
        }
        Type::list(joined.unwrap_or_else(|| self.unifier.fresh()))
    }

    /// One type for two.
    fn join(&mut self, known: Option<Type>, found: Type, id: usize) -> Type {
        let Some(known) = known else { return found };
        if self.unifier.assignable(&known, &found) {
            return if unify::is_less_specific(&known, &found) { known } else { found };
        }
        self.mismatch(id, &known, &found)
    }

    fn object(&mut self, id: usize, name: &str, fields: &mut [Field]) -> Type {
        let patch = name == "JSONPatch";
        let known = self.env.mutation && (patch || name == "Object" || name.starts_with("Object."));
        for field in fields.iter_mut() {
            let found = self.maybe_optional(&mut field.value, field.optional);
            if !known || !patch {
                continue;
            }
            let wanted = match &*field.name {
                "op" | "path" | "from" => Type::String,
                "value" => Type::Dyn,
                other => {
                    self.wrong(field.id, format!("undefined field '{other}'"));
                    continue;
                }
            };
            if !self.unifier.assignable(&wanted, &found) {
                let (name, found) = (&field.name, self.unifier.resolved(&found));
                let text =
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{found}'");
                self.wrong(field.id, text);
            }
        }
        if known { Type::Object(name.into()) } else { self.undeclared(id, name) }
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        let init = self.expr(&mut fold.init);
        if fold.bind {
            self.expr(&mut fold.range);
            self.scopes.push((Arc::clone(&fold.accu), init));
            self.expr(&mut fold.condition);
            self.expr(&mut fold.step);
            let result = self.expr(&mut fold.result);
            self.scopes.pop();
            return result;
        }
        let range = self.expr(&mut fold.range);
        let (first, second) = match self.unifier.resolved_shallow(&range) {
            Type::List(item) => (Type::Int, item.as_ref().clone()),
            Type::Map(key, value) => (key.as_ref().clone(), value.as_ref().clone()),
            Type::Dyn | Type::Error => (Type::Dyn, Type::Dyn),
            Type::Param(number) => {
                self.unifier.bind(number, Type::Dyn);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let other = self.unifier.resolved(&other);
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.wrong(fold.range.id, text);
                (Type::Error, Type::Error)
            }
        };
        let is_list = matches!(self.unifier.resolved_shallow(&range), Type::List(_));
        self.scopes.push((Arc::clone(&fold.accu), init.clone()));
        match &fold.var2 {
            Some(var2) => {
                self.scopes.push((Arc::clone(&fold.var), first));
                self.scopes.push((Arc::clone(var2), second));
            }
            None => self.scopes.push((Arc::clone(&fold.var), if is_list { second } else { first })),
        }
        for (part, wanted) in [(&mut fold.condition, Type::Bool), (&mut fold.step, init)] {
            let id = part.id;
            let found = self.expr(part);
            if !self.unifier.assignable(&found, &wanted) {
                self.mismatch(id, &wanted, &found);
            }
        }
        self.scopes.pop();
        if fold.var2.is_some() {
            self.scopes.pop();
        }
        let result = self.expr(&mut fold.result);
        self.scopes.pop();
        self.unifier.substituted(&result)
    }
}

fn shifted(ty: &Type, base: u32) -> Type {
    match ty {
        Type::Param(number) => Type::Param(base + number),
        other => other.with(&mut |inner| shifted(inner, base)),
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::Text(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

fn type_named(name: &str, unifier: &mut Unifier) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "dyn" => Type::Dyn,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "type" => Type::Type(Arc::new(Type::Dyn)),
        "optional_type" => Type::optional(unifier.fresh()),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        other => Type::Opaque(OPAQUE.iter().find(|known| **known == other)?),
    })
}

/// The most parts that a type may have.
const TYPE_WEIGHT_MAX: usize = 500;

const OPAQUE: [&str; 11] = [
    "net.IP",
    "net.CIDR",
    "kubernetes.Quantity",
    "kubernetes.URL",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    crate::env::AUTHORIZER,
    crate::env::PATH_CHECK,
    crate::env::GROUP_CHECK,
    crate::env::RESOURCE_CHECK,
    crate::env::DECISION,
];

/// Constants that can never be what a function takes.
fn literals(ast: &Ast) -> Vec<Issue> {
    let mut issues = Vec::new();
    ast.root.each(&mut |expr| {
        let Kind::Call { target, function, args } = &expr.kind else { return };
        let at = usize::from(&**function == "matches" && target.is_none());
        let Some(Expr { id, kind: Kind::Literal(Literal::Text(text)), .. }) = args.get(at) else { return };
        let good = match &**function {
            "matches" => crate::library::text::regex(text).is_ok(),
            "duration" => crate::library::time::parse_duration(text).is_some(),
            "timestamp" => crate::library::time::parse_timestamp(text).is_some(),
            _ => true,
        };
        if !good {
            let place = ast.places.get(*id).copied().unwrap_or(0);
            issues.push(Issue { place, message: format!("invalid {function} argument") });
        }
    });
    issues
}
