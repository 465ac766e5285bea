//! What an expression is made of, after its macros are expanded.

use std::sync::Arc;

/// Names a node; the place in the text is found by it.
pub(crate) type Id = usize;

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) id: Id,
    /// How many nodes lie on the longest way down from here.
    pub(crate) depth: u32,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(Arc<str>),
    Select { operand: Box<Expr>, field: Arc<str>, test_only: bool },
    Call { target: Option<Box<Expr>>, function: Arc<str>, args: Vec<Expr> },
    List { items: Vec<Expr>, optional: Vec<bool> },
    Map(Vec<Entry>),
    Struct { name: Arc<str>, fields: Vec<Field> },
    Fold(Box<Fold>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// `key: value` of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// `name: value` of an object.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) id: Id,
    pub(crate) name: Arc<str>,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A loop over a list or map that carries an accumulator; a bound name, if `bind`.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) var: Arc<str>,
    pub(crate) var2: Option<Arc<str>>,
    pub(crate) accu: Arc<str>,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
    /// No loop: `accu` is `init` in `result`.
    pub(crate) bind: bool,
}

/// An expression with its text.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub(crate) root: Expr,
    pub(crate) source: Source,
    /// The place of each node, in characters.
    pub(crate) places: Vec<usize>,
}

/// The text, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) text: Vec<char>,
}

/// Something wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) place: usize,
    pub(crate) message: String,
}

impl Source {
    /// The words about some issues, in the order of their places.
    pub(crate) fn describe(&self, mut issues: Vec<Issue>) -> String {
        issues.sort_by_key(|issue| issue.place);
        issues.dedup();
        let shown: Vec<String> = issues.iter().take(ISSUES_MAX).map(|issue| self.one(issue)).collect();
        shown.join("\n")
    }

    fn one(&self, issue: &Issue) -> String {
        let place = issue.place.min(self.text.len());
        let before = &self.text[..place];
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let start = before.iter().rposition(|c| *c == '\n').map_or(0, |at| at + 1);
        let column = place - start;
        let end = self.text[start..].iter().position(|c| *c == '\n').map_or(self.text.len(), |at| start + at);
        let shown: String = self.text[start..end].iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
        let mut dots = String::new();
        for c in &self.text[start..place] {
            dots.push(if c.len_utf8() > 1 { '．' } else { '.' });
        }
        let wide = self.text.get(place).is_some_and(|c| place < end && c.len_utf8() > 1);
        let caret = if wide { '＾' } else { '^' };
        format!("ERROR: <input>:{line}:{}: {}\n | {shown}\n | {dots}{caret}", column + 1, issue.message)
    }
}

impl Expr {
    /// The nodes right below this one.
    pub(crate) fn each_below<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => visit(operand),
            Kind::Call { target, args, .. } => {
                target.iter().for_each(|target| visit(target));
                args.iter().for_each(visit);
            }
            Kind::List { items, .. } => items.iter().for_each(visit),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                visit(&entry.key);
                visit(&entry.value);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Kind::Fold(fold) => {
                for below in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    visit(below);
                }
            }
        }
    }

    /// Calls `visit` on this node and all below.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.each_below(&mut |below| below.each(visit));
    }
}

/// So many issues are shown.
const ISSUES_MAX: usize = 100;
