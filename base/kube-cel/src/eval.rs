//! Evaluates an expression, and counts what it costs.

mod operators;
mod spent;

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use crate::ast::{Entry, Expr, Field, Fold, Kind, Literal};
use crate::authorizer::{Authorizer, Check, Stage};
use crate::error::EvalError;
use crate::library;
use crate::macros::RESULT;
use crate::program::{Activation, Program, Slot};
use crate::types::Type;
use crate::val::compare::Work;
use crate::val::{Entries, List, Map, Text, Val, from_json};

type Evaluated<'a> = Result<Val<'a>, EvalError>;

/// Evaluates a program.
pub(crate) fn run<'a>(
    program: &'a Program,
    activation: &'a Activation<'a>,
    budget: &mut u64,
) -> Evaluated<'a> {
    let limit = (*budget).min(crate::PER_CALL_LIMIT);
    let mut machine = Machine {
        program,
        activation,
        locals: Vec::new(),
        regexes: HashMap::new(),
        cost: 0,
        limit,
        work: Work(WORK_MAX),
    };
    let result = machine.expr(&program.checked.ast.root);
    *budget = budget.saturating_sub(machine.cost);
    result
}

pub(crate) struct Machine<'a> {
    program: &'a Program,
    activation: &'a Activation<'a>,
    locals: Vec<(&'a str, Evaluated<'a>)>,
    regexes: HashMap<String, Regex>,
    cost: u64,
    limit: u64,
    pub(crate) work: Work,
}

impl<'a> Machine<'a> {
    fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvalError::Cost) } else { Ok(()) }
    }

    pub(crate) fn authorizer(&self) -> Option<&'a dyn Authorizer> {
        self.activation.authorizer
    }

    /// A compiled regular expression: of the program if it is a constant there.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex, EvalError> {
        if let Some(known) = self.program.regexes.get(pattern).or_else(|| self.regexes.get(pattern)) {
            return Ok(known.clone());
        }
        self.work.spend(REGEX_WORK + pattern.len() * 8)?;
        let compiled = library::text::regex(pattern)
            .map_err(|error| EvalError::said(format!("Illegal regex: {error}")))?;
        if self.regexes.len() >= REGEXES_MAX {
            self.regexes.clear();
        }
        self.regexes.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }

    fn expr(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.work.spend(1)?;
        match &expr.kind {
            Kind::Literal(literal) => Ok(constant(literal)),
            Kind::Ident(name) => {
                self.charge(1)?;
                self.ident(name, expr)
            }
            Kind::Select { operand, field, test_only } => {
                let target = self.expr(operand)?;
                if *test_only {
                    return has(&target, field).map(Val::Bool);
                }
                self.charge(1)?;
                select(&target, field)
            }
            Kind::Call { target, function, args } => self.call(target.as_deref(), function, args),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(name, fields),
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&mut self, name: &'a str, expr: &Expr) -> Evaluated<'a> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        if plain.len() == name.len()
            && let Some((_, value)) = self.locals.iter().rev().find(|(known, _)| *known == name)
        {
            return value.clone();
        }
        if let Some((_, slot)) = self.activation.slots.iter().find(|(known, _)| *known == plain) {
            let decl = self.program.decl(plain);
            return Ok(match slot {
                Slot::Json(value) => from_json(value, decl),
                Slot::Optional(value) => Val::Optional(value.map(|value| Arc::new(from_json(value, decl)))),
                Slot::Val(value) => value.clone(),
            });
        }
        match (plain, self.activation.authorizer) {
            ("authorizer", Some(_)) => return Ok(Val::Check(Arc::new(Check::default()))),
            ("authorizer.requestResource", Some(_)) => {
                let check = self.activation.request_resource.clone();
                return Ok(Val::Check(
                    check.unwrap_or_else(|| Arc::new(Check { stage: Stage::Resource, ..Check::default() })),
                ));
            }
            _ => {}
        }
        match self.program.checked.types.get(expr.id) {
            Some(Type::Type(of)) if !self.program.uses(plain) => Ok(Val::Type(type_name(of, plain))),
            _ => Err(EvalError::said(format!("no such attribute(s): {plain}"))),
        }
    }

    fn call(&mut self, target: Option<&'a Expr>, function: &'a str, args: &'a [Expr]) -> Evaluated<'a> {
        match (function, args) {
            ("_&&_", [left, right]) => return self.logic(left, right, false),
            ("_||_", [left, right]) => return self.logic(left, right, true),
            ("_?_:_", [condition, then, other]) => {
                return match self.expr(condition)? {
                    Val::Bool(true) => self.expr(then),
                    Val::Bool(false) => self.expr(other),
                    _ => Err(EvalError::no_overload()),
                };
            }
            ("@not_strictly_false", [value]) => {
                let value = self.expr(value);
                self.charge(1)?;
                return match value {
                    Ok(Val::Bool(value)) => Ok(Val::Bool(value)),
                    Err(EvalError::Cost) => Err(EvalError::Cost),
                    _ => Ok(Val::Bool(true)),
                };
            }
            ("_+_" | "cel.@mapInsert", [Expr { kind: Kind::Ident(name), .. }, ..]) if **name == *RESULT => {
                return self.grow(function, args);
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target {
            values.push(self.expr(target)?);
        }
        for arg in args {
            values.push(self.expr(arg)?);
        }
        self.apply(function, &values)
    }

    fn apply(&mut self, function: &str, values: &[Val<'a>]) -> Evaluated<'a> {
        // What may be dear is paid before it is done.
        let before = spent::before(function, values);
        self.charge(before.unwrap_or(0))?;
        let function = function.strip_prefix('.').unwrap_or(function);
        let result = match operators::apply(self, function, values) {
            Some(result) => result?,
            None => library::call(self, function, values)?,
        };
        if before.is_none() {
            self.charge(spent::after(&result))?;
        }
        Ok(result)
    }

    /// `&&`, or `||` if `decisive`: an operand that decides hides the other's error.
    fn logic(&mut self, left: &'a Expr, right: &'a Expr, decisive: bool) -> Evaluated<'a> {
        let first = self.expr(left);
        match &first {
            Ok(Val::Bool(value)) if *value == decisive => return first,
            Err(EvalError::Cost) => return first,
            _ => {}
        }
        let second = self.expr(right);
        match (&first, &second) {
            (_, Err(EvalError::Cost)) => second,
            (_, Ok(Val::Bool(value))) if *value == decisive => second,
            (Ok(Val::Bool(_)), Ok(Val::Bool(_)) | Err(_)) => second,
            (Err(_), _) => first,
            _ => Err(EvalError::no_overload()),
        }
    }

    /// Adds to the accumulator of a loop, in place.
    fn grow(&mut self, function: &'a str, args: &'a [Expr]) -> Evaluated<'a> {
        self.charge(1)?;
        let Some(at) = self.locals.iter().rposition(|(name, _)| *name == RESULT) else {
            return Err(EvalError::no_overload());
        };
        let accumulated = std::mem::replace(&mut self.locals[at].1, Ok(Val::Null))?;
        let mut values = Vec::with_capacity(args.len());
        for arg in &args[1..] {
            values.push(self.expr(arg)?);
        }
        match (accumulated, values.as_mut_slice()) {
            (Val::List(List::Items(mut items, kind)), [Val::List(List::Items(more, _))]) => {
                self.charge(1)?;
                self.work.spend(more.len())?;
                Arc::make_mut(&mut items).extend(more.iter().cloned());
                Ok(Val::List(List::Items(items, kind)))
            }
            (Val::Map(Map::Entries(mut entries)), [Val::Map(more)]) => {
                self.charge(1)?;
                for (key, value) in more.entries() {
                    insert(Arc::make_mut(&mut entries), key, value)?;
                }
                Ok(Val::Map(Map::Entries(entries)))
            }
            (Val::Map(Map::Entries(mut entries)), [key, value]) => {
                self.charge(1)?;
                let (key, value) = (key.clone(), value.clone());
                insert(Arc::make_mut(&mut entries), key, value)?;
                Ok(Val::Map(Map::Entries(entries)))
            }
            (accumulated, _) => {
                values.insert(0, accumulated);
                self.apply(function, &values)
            }
        }
    }

    fn list(&mut self, items: &'a [Expr], optional: &[bool]) -> Evaluated<'a> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items.iter().zip(optional) {
            let value = self.expr(item)?;
            values.extend(unwrapped(value, *optional)?);
        }
        self.charge(LIST_COST)?;
        Ok(Val::list(values))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        let mut made = Entries::new();
        for entry in entries {
            let key = self.expr(&entry.key)?;
            let value = self.expr(&entry.value)?;
            if let Some(value) = unwrapped(value, entry.optional)? {
                insert(&mut made, key, value)?;
            }
        }
        self.charge(MAP_COST)?;
        Ok(Val::Map(Map::Entries(Arc::new(made))))
    }

    fn object(&mut self, name: &Arc<str>, fields: &'a [Field]) -> Evaluated<'a> {
        let mut made: Vec<(Arc<str>, Val<'a>)> = Vec::with_capacity(fields.len());
        for field in fields {
            let value = self.expr(&field.value)?;
            let Some(value) = unwrapped(value, field.optional)? else { continue };
            if &**name != "JSONPatch" {
                of_path(&value, &format!("{name}.{}", field.name), &mut self.work)?;
            }
            made.retain(|(known, _)| known != &field.name);
            made.push((Arc::clone(&field.name), value));
        }
        self.charge(STRUCT_COST)?;
        Ok(Val::Map(Map::Struct { name: Arc::clone(name), fields: Arc::new(made) }))
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<'a> {
        if fold.bind {
            self.charge(LIST_COST)?;
            let value = self.expr(&fold.init);
            if matches!(value, Err(EvalError::Cost)) {
                return value;
            }
            self.locals.push((&fold.accu, value));
            let result = self.expr(&fold.result);
            self.locals.pop();
            return result;
        }
        let range = self.expr(&fold.range)?;
        let init = self.expr(&fold.init)?;
        let depth = self.locals.len();
        self.locals.push((&fold.accu, Ok(init)));
        let looped = match range {
            Val::List(list) => self.over_list(fold, &list, depth),
            Val::Map(map) => self.over_map(fold, &map, depth),
            _ => Err(EvalError::no_overload()),
        };
        self.locals.truncate(depth + 1);
        let result = looped.and_then(|()| self.expr(&fold.result));
        self.locals.truncate(depth);
        result
    }

    fn over_list(&mut self, fold: &'a Fold, list: &List<'a>, depth: usize) -> Result<(), EvalError> {
        for (at, item) in list.iter().enumerate() {
            match &fold.var2 {
                Some(var2) => {
                    self.locals.push((&fold.var, Ok(Val::Int(at as i64))));
                    self.locals.push((var2, Ok(item)));
                }
                None => self.locals.push((&fold.var, Ok(item))),
            }
            if !self.step(fold, depth)? {
                break;
            }
        }
        Ok(())
    }

    fn over_map(&mut self, fold: &'a Fold, map: &Map<'a>, depth: usize) -> Result<(), EvalError> {
        self.work.spend(map.len())?;
        for (key, value) in map.entries() {
            self.locals.push((&fold.var, Ok(key)));
            if let Some(var2) = &fold.var2 {
                self.locals.push((var2, Ok(value)));
            }
            if !self.step(fold, depth)? {
                break;
            }
        }
        Ok(())
    }

    /// One turn of a loop; false if the loop ends before it.
    fn step(&mut self, fold: &'a Fold, depth: usize) -> Result<bool, EvalError> {
        let goes_on = matches!(self.expr(&fold.condition)?, Val::Bool(true));
        if goes_on {
            let next = self.expr(&fold.step);
            if matches!(next, Err(EvalError::Cost)) {
                return next.map(|_| false);
            }
            self.locals[depth].1 = next;
        }
        self.locals.truncate(depth + 1);
        Ok(goes_on)
    }
}

fn constant<'a>(literal: &Literal) -> Val<'a> {
    match literal {
        Literal::Null => Val::Null,
        Literal::Bool(value) => Val::Bool(*value),
        Literal::Int(value) => Val::Int(*value),
        Literal::Uint(value) => Val::Uint(*value),
        Literal::Double(value) => Val::Double(*value),
        Literal::Text(value) => Val::Text(Text::Shared(Arc::clone(value))),
        Literal::Bytes(value) => Val::Bytes(Arc::clone(value)),
    }
}

fn type_name(of: &Type, written: &str) -> Arc<str> {
    match of {
        Type::Null => "null_type".into(),
        Type::Opaque(name) => (*name).into(),
        _ => written.into(),
    }
}

/// The value of a field; through an optional, an optional.
pub(crate) fn select<'a>(target: &Val<'a>, field: &str) -> Evaluated<'a> {
    match target {
        Val::Map(map) => map.field(field).ok_or_else(|| EvalError::no_key(field)),
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(_)) => optional_select(target, field),
        _ => Err(EvalError::no_overload()),
    }
}

/// `a.?field`.
pub(crate) fn optional_select<'a>(target: &Val<'a>, field: &str) -> Evaluated<'a> {
    match target {
        Val::Map(map) => Ok(Val::Optional(map.field(field).map(Arc::new))),
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => optional_select(inner, field),
        _ => Err(EvalError::no_overload()),
    }
}

fn has(target: &Val<'_>, field: &str) -> Result<bool, EvalError> {
    match target {
        Val::Map(map) => Ok(map.field(field).is_some()),
        Val::Optional(None) => Ok(false),
        Val::Optional(Some(inner)) => has(inner, field),
        _ => Err(EvalError::no_overload()),
    }
}

/// The value; none if it is an optional without one.
fn unwrapped<'a>(value: Val<'a>, optional: bool) -> Result<Option<Val<'a>>, EvalError> {
    match value {
        Val::Optional(inner) if optional => Ok(inner.map(Arc::unwrap_or_clone)),
        _ if optional => Err(EvalError::no_overload()),
        value => Ok(Some(value)),
    }
}

pub(crate) fn insert<'a>(entries: &mut Entries<'a>, key: Val<'a>, value: Val<'a>) -> Result<(), EvalError> {
    let name = match (&key, key.key()) {
        (Val::Double(_), _) | (_, None) => {
            return Err(EvalError::said(format!("unsupported key type: {}", key.type_name())));
        }
        (_, Some(name)) => name,
    };
    if entries.contains_key(&name) {
        let shown = key.to_json().map(|key| key.as_str().map_or_else(|| key.to_string(), str::to_owned));
        return Err(EvalError::said(format!(
            "insert failed: key {} already exists",
            shown.unwrap_or_default()
        )));
    }
    entries.insert(name, (key, value));
    Ok(())
}

/// Objects that are made have types by the path of their fields; looks into lists, too.
fn of_path(value: &Val<'_>, path: &str, work: &mut Work) -> Result<(), EvalError> {
    work.spend(1)?;
    match value {
        Val::Map(Map::Struct { name, .. }) if &**name != path => Err(EvalError::said(format!(
            "unexpected type name \"{name}\", expected \"{path}\", which matches field name path from root Object type"
        ))),
        Val::List(List::Items(items, _)) => items.iter().try_for_each(|item| of_path(item, path, work)),
        Val::Optional(Some(inner)) => of_path(inner, path, work),
        _ => Ok(()),
    }
}

pub(crate) const LIST_COST: u64 = 10;
pub(crate) const MAP_COST: u64 = 30;
pub(crate) const STRUCT_COST: u64 = 40;
/// Steps that no cost counts, such as copying; ten million take a fraction of a second.
const WORK_MAX: u64 = 20_000_000;
/// What compiling a regular expression counts for, in such steps.
const REGEX_WORK: usize = 20_000;
/// So many compiled expressions are kept at a time.
const REGEXES_MAX: usize = 64;
