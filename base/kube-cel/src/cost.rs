//! What an expression costs at least and at most, before it is evaluated. The numbers
//! are part of the API: they decide which rules may be written into a definition.

mod calls;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Expr, Fold, Id, Kind, Literal};
use crate::env::{Decl, Form};
use crate::eval::{LIST_COST, MAP_COST, STRUCT_COST};
use crate::macros::RESULT;
use crate::program::Program;
use crate::types::Type;

/// A least and a most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostRange {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl CostRange {
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    pub(crate) fn of(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(crate) fn scaled(self, factor: f64) -> Self {
        // A cast of what is too large gives the largest number.
        let scale = |value: u64| (value as f64 * factor).ceil() as u64;
        Self { min: scale(self.min), max: scale(self.max) }
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

pub(crate) fn estimate(program: &Program) -> CostRange {
    let mut coster = Coster {
        program,
        paths: HashMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
        locals: Vec::new(),
    };
    coster.cost(&program.checked.ast.root)
}

/// The sizes of a list's or map's keys and values.
#[derive(Clone, Copy, Debug)]
struct EntrySize {
    is_list: bool,
    key: CostRange,
    value: CostRange,
}

/// Where a value lies in a variable; none if it is made.
type Path = Option<Arc<Vec<Arc<str>>>>;

#[derive(Clone, Debug)]
struct Local {
    name: Arc<str>,
    path: Path,
    size: Option<CostRange>,
    entries: Option<EntrySize>,
}

struct Coster<'p> {
    program: &'p Program,
    paths: HashMap<Id, Arc<Vec<Arc<str>>>>,
    sizes: HashMap<Id, CostRange>,
    entries: HashMap<Id, EntrySize>,
    locals: Vec<Local>,
}

impl Coster<'_> {
    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| *local.name == *name)
    }

    fn type_of(&self, expr: &Expr) -> &Type {
        self.program.checked.types.get(expr.id).unwrap_or(&Type::Dyn)
    }

    fn cost(&mut self, expr: &Expr) -> CostRange {
        match &expr.kind {
            Kind::Literal(_) => CostRange::of(0),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => Some(Arc::new(vec![Arc::clone(name)])),
                };
                if let Some(path) = path {
                    self.paths.insert(expr.id, path);
                }
                CostRange::of(1)
            }
            Kind::Select { operand, field, test_only } => {
                let below = self.cost(operand);
                if *test_only {
                    return below;
                }
                let own = match self.type_of(operand) {
                    Type::Map(..) | Type::Object(_) | Type::Opaque(_) | Type::Param(_) => 1,
                    _ => 0,
                };
                self.lead(expr, operand, field);
                below.plus(CostRange::of(own))
            }
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List { items, .. } => {
                let mut sum = CostRange::of(LIST_COST);
                let mut value = empty_union(items.is_empty());
                for item in items {
                    sum = sum.plus(self.cost(item));
                    value = value.union(self.size_or_unknown(item));
                }
                let entry = EntrySize { is_list: true, key: CostRange::of(1), value };
                self.entries.insert(expr.id, entry);
                sum
            }
            Kind::Map(entries) => {
                let mut sum = CostRange::of(MAP_COST);
                let (mut key, mut value) = (empty_union(entries.is_empty()), empty_union(entries.is_empty()));
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, EntrySize { is_list: false, key, value });
                sum
            }
            Kind::Struct { fields, .. } => {
                let own = CostRange::of(STRUCT_COST);
                fields.iter().fold(own, |sum, field| sum.plus(self.cost(&field.value)))
            }
            Kind::Fold(fold) if fold.bind => self.bind(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    /// Notes where a part of another expression's value lies.
    fn lead(&mut self, expr: &Expr, from: &Expr, step: &str) {
        if let Some(path) = self.path(from) {
            let mut path = path.as_ref().clone();
            path.push(step.into());
            self.paths.insert(expr.id, Arc::new(path));
        }
    }

    fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned()
    }

    fn bind(&mut self, expr: &Expr, fold: &Fold) -> CostRange {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        let local = Local {
            name: Arc::clone(&fold.accu),
            path: self.path(&fold.init),
            size: self.size(&fold.init),
            entries: self.entry(&fold.init),
        };
        self.locals.push(local);
        let sum = sum.plus(self.cost(&fold.result));
        let (size, entries) = (self.size(&fold.result), self.entry(&fold.result));
        self.locals.pop();
        self.sizes.extend(size.map(|size| (expr.id, size)));
        self.entries.extend(entries.map(|entries| (expr.id, entries)));
        sum
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> CostRange {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        let accu = Local {
            name: Arc::clone(&fold.accu),
            path: self.path(&fold.init),
            size: self.size(&fold.init),
            entries: self.entry(&fold.init),
        };
        let depth = self.locals.len();
        self.locals.push(accu);
        let entry = self.entry(&fold.range);
        let is_list = entry.map_or(matches!(self.type_of(&fold.range), Type::List(_)), |entry| entry.is_list);
        let key = self.iterated(
            &fold.var,
            &fold.range,
            if is_list { "@indices" } else { "@keys" },
            entry.map(|e| e.key),
        );
        let value_step = if is_list { "@items" } else { "@values" };
        let value_name = fold.var2.as_ref().unwrap_or(&fold.var);
        let value = self.iterated(value_name, &fold.range, value_step, entry.map(|e| e.value));
        match (&fold.var2, is_list) {
            (Some(_), _) => self.locals.extend([key, value]),
            (None, true) => self.locals.push(value),
            (None, false) => self.locals.push(key),
        }
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.truncate(depth + 1);
        let sum = sum.plus(self.cost(&fold.result));
        self.locals.truncate(depth);
        let count = self.size_or_unknown(&fold.range);
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.sizes.extend(size.map(|size| (expr.id, size)));
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                let entry = self.entry(&fold.step);
                self.entries.extend(entry.map(|entry| (expr.id, entry)));
            }
            _ => {}
        }
        sum.plus(count.times(turn))
    }

    fn iterated(&self, name: &Arc<str>, range: &Expr, step: &str, size: Option<CostRange>) -> Local {
        let path = self.path(range).map(|path| {
            let mut path = path.as_ref().clone();
            path.push(step.into());
            Arc::new(path)
        });
        Local { name: Arc::clone(name), path, size, entries: None }
    }

    fn entry(&self, expr: &Expr) -> Option<EntrySize> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.entries,
            _ => None,
        }
    }

    fn size_or_unknown(&self, expr: &Expr) -> CostRange {
        self.size(expr).unwrap_or(CostRange::UNKNOWN)
    }

    fn size(&self, expr: &Expr) -> Option<CostRange> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let known = match &expr.kind {
            Kind::Literal(Literal::Text(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List { items, .. } => Some(items.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(known) = known {
            return Some(CostRange::of(known as u64));
        }
        if let Some(path) = self.path(expr)
            && let Some(size) = self.declared(&path)
        {
            return Some(size);
        }
        if self.type_of(expr).is_scalar() {
            return Some(CostRange::of(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    /// The size of what lies at a path of a declared variable.
    fn declared(&self, path: &[Arc<str>]) -> Option<CostRange> {
        let (first, rest) = path.split_first()?;
        if **first == *RESULT {
            return None;
        }
        let decl = self.program.decl(first)?;
        let mut here: &Decl = decl;
        for step in rest {
            here = match (&here.form, &**step) {
                (Form::List { item, .. }, "@items") => item,
                (Form::Map(value), "@values") => value,
                (Form::Map(_), "@keys") => return Some(CostRange { min: 0, max: 0 }),
                (Form::Object(fields), name) => &fields.get(name)?.1,
                _ => return None,
            };
        }
        Some(CostRange { min: 0, max: here.max_elements })
    }

    /// The size of an item of a list.
    fn item_size(&self, list: &Expr) -> CostRange {
        if let Some(path) = self.path(list) {
            let mut path = path.as_ref().clone();
            path.push("@items".into());
            if let Some(size) = self.declared(&path) {
                return size;
            }
        }
        CostRange::UNKNOWN
    }
}

fn empty_union(is_empty: bool) -> CostRange {
    CostRange { min: if is_empty { 0 } else { u64::MAX }, max: 0 }
}
