//! From words to an expression. Macros are expanded on the way (`macros.rs`).

use std::sync::Arc;

use crate::ast::{Ast, Entry, Expr, Field, Id, Issue, Kind, Literal, Source};
use crate::error::CompileError;
use crate::lex::{Token, Word, words};

/// How an expression may be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syntax {
    pub(crate) bind: bool,
}

/// Reads an expression.
pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Ast, CompileError> {
    let source = Source { text: text.chars().take(TEXT_MAX + 1).collect() };
    if source.text.len() > TEXT_MAX {
        let size = text.chars().count();
        let report = format!(
            "ERROR: <input>:-1:0: expression code point size exceeds limit: size: {size}, limit {TEXT_MAX}"
        );
        return Err(CompileError { report });
    }
    let mut issues = Vec::new();
    let words = words(&source.text, &mut issues);
    let mut parser =
        Parser { words, at: 0, source: &source, places: Vec::new(), issues, syntax, nesting: 0, binds: 0 };
    let parsed = parser.whole();
    let Parser { places, issues, .. } = parser;
    match parsed {
        Ok(root) if issues.is_empty() => Ok(Ast { root, source, places }),
        Err(Stop::TooDeep) => {
            let report = format!("ERROR: <input>:-1:0: expression recursion limit exceeded: {NESTING_MAX}");
            Err(CompileError { report })
        }
        _ => Err(CompileError { report: source.describe(issues) }),
    }
}

/// Why reading ends.
pub(crate) enum Stop {
    /// An issue was noted.
    Issue,
    /// The text nests too deep.
    TooDeep,
}

type Parsed = Result<Expr, Stop>;

pub(crate) struct Parser<'s> {
    words: Vec<Word>,
    at: usize,
    source: &'s Source,
    places: Vec<usize>,
    issues: Vec<Issue>,
    pub(crate) syntax: Syntax,
    nesting: u32,
    pub(crate) binds: u32,
}

impl Parser<'_> {
    fn whole(&mut self) -> Parsed {
        let root = self.expression()?;
        if self.peek().token != Token::End {
            let word = self.shown(self.at);
            let last = self.words.get(self.at + 1).is_none_or(|next| next.token == Token::End);
            let how = if last { "extraneous" } else { "mismatched" };
            let what = if last { "<EOF>" } else { AFTER };
            return Err(
                self.wrong(self.peek().place, format!("Syntax error: {how} input {word} expecting {what}"))
            );
        }
        Ok(root)
    }

    fn peek(&self) -> &Word {
        &self.words[self.at.min(self.words.len() - 1)]
    }

    fn shown(&self, at: usize) -> String {
        let word = &self.words[at.min(self.words.len() - 1)];
        match word.token {
            Token::End => "'<EOF>'".to_owned(),
            _ => format!("'{}'", self.source.text[word.place..word.end].iter().collect::<String>()),
        }
    }

    pub(crate) fn wrong(&mut self, place: usize, message: impl Into<String>) -> Stop {
        self.issues.push(Issue { place, message: message.into() });
        Stop::Issue
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek().token, Token::Sign(found) if found == sign)
    }

    fn take(&mut self, sign: &str) -> Option<usize> {
        if !self.is(sign) {
            return None;
        }
        let place = self.peek().place;
        self.at += 1;
        Some(place)
    }

    fn expect(&mut self, sign: &str) -> Result<usize, Stop> {
        match self.take(sign) {
            Some(place) => Ok(place),
            None => {
                let (place, word) = (self.peek().place, self.shown(self.at));
                let text = match self.peek().token {
                    Token::End => format!("Syntax error: missing '{sign}' at {word}"),
                    _ => format!("Syntax error: mismatched input {word} expecting '{sign}'"),
                };
                Err(self.wrong(place, text))
            }
        }
    }

    pub(crate) fn id(&mut self, place: usize) -> Id {
        self.places.push(place);
        self.places.len() - 1
    }

    pub(crate) fn place(&self, id: Id) -> usize {
        self.places.get(id).copied().unwrap_or(0)
    }

    /// A node at a place.
    pub(crate) fn node(&mut self, place: usize, kind: Kind) -> Parsed {
        let mut below = 0;
        let id = self.id(place);
        let mut expr = Expr { id, depth: 0, kind };
        expr.each_below(&mut |child| below = below.max(child.depth));
        expr.depth = below + 1;
        if expr.depth > DEPTH_MAX { Err(Stop::TooDeep) } else { Ok(expr) }
    }

    pub(crate) fn call(&mut self, place: usize, function: &str, args: Vec<Expr>) -> Parsed {
        self.node(place, Kind::Call { target: None, function: function.into(), args })
    }

    // Few functions call each other for one more level of nesting: the stack is small.
    fn expression(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(Stop::TooDeep);
        }
        let mut expr = self.binary(0)?;
        if let Some(place) = self.take("?") {
            let then = self.binary(0)?;
            self.expect(":")?;
            let other = self.expression()?;
            expr = self.call(place, "_?_:_", vec![expr, then, other])?;
        }
        self.nesting -= 1;
        Ok(expr)
    }

    /// Operators from this level of precedence on.
    fn binary(&mut self, level: usize) -> Parsed {
        let mut left = self.unary()?;
        while let Some((at, sign, function)) = self.operator(level) {
            let place = self.expect(sign)?;
            let right = self.binary(at + 1)?;
            left = if at < JUNCTIONS {
                self.junction(left, right, place, (at, sign, function))?
            } else {
                self.call(place, function, vec![left, right])?
            };
        }
        Ok(left)
    }

    fn operator(&self, level: usize) -> Option<(usize, &'static str, &'static str)> {
        let Token::Sign(found) = self.peek().token else { return None };
        let levels = LEVELS.iter().enumerate().skip(level);
        levels.into_iter().find_map(|(at, signs)| {
            let (sign, function) = signs.iter().find(|(sign, _)| *sign == found)?;
            Some((at, *sign, *function))
        })
    }

    /// Terms joined by `||` or `&&`, as a balanced tree.
    fn junction(
        &mut self,
        left: Expr,
        right: Expr,
        place: usize,
        (at, sign, function): (usize, &'static str, &'static str),
    ) -> Parsed {
        let (mut terms, mut places) = (vec![left, right], vec![place]);
        while let Some(place) = self.take(sign) {
            places.push(place);
            terms.push(self.binary(at + 1)?);
        }
        self.balanced(&mut terms.into_iter(), &places, function)
    }

    fn balanced(&mut self, terms: &mut std::vec::IntoIter<Expr>, places: &[usize], function: &str) -> Parsed {
        let middle = places.len() / 2;
        match places.split_at(middle) {
            (left, [place, right @ ..]) => {
                let left = self.balanced(terms, left, function)?;
                let right = self.balanced(terms, right, function)?;
                self.call(*place, function, vec![left, right])
            }
            _ => terms.next().ok_or(Stop::Issue),
        }
    }

    fn unary(&mut self) -> Parsed {
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            let Some(place) = self.take(sign) else { continue };
            let mut count = 1;
            while self.take(sign).is_some() {
                count += 1;
            }
            let number = match &self.peek().token {
                Token::Literal(Literal::Int(number)) if sign == "-" => {
                    Some(Literal::Int(number.wrapping_neg()))
                }
                Token::Literal(Literal::Double(number)) if sign == "-" => Some(Literal::Double(-number)),
                _ => None,
            };
            if let Some(number) = number.filter(|_| count == 1) {
                self.at += 1;
                let literal = self.node(place, Kind::Literal(number))?;
                return self.members(literal);
            }
            let operand = self.primary()?;
            let operand = self.members(operand)?;
            // Pairs cancel, as in upstream's grammar.
            return if count % 2 == 0 { Ok(operand) } else { self.call(place, function, vec![operand]) };
        }
        let operand = self.primary()?;
        self.members(operand)
    }

    fn members(&mut self, mut operand: Expr) -> Parsed {
        loop {
            if let Some(place) = self.take(".") {
                let optional = self.take("?").is_some();
                let (name, plain) = match self.peek().token.clone() {
                    Token::Ident(name) => (name, true),
                    Token::Quoted(name) => (name, false),
                    _ => return Err(self.unexpected("IDENTIFIER")),
                };
                self.at += 1;
                operand = if optional {
                    let field = self.node(place, Kind::Literal(Literal::Text(name)))?;
                    self.call(place, "_?._", vec![operand, field])?
                } else if plain && self.is("(") {
                    let open = self.expect("(")?;
                    let args = self.arguments(")")?;
                    self.member_call(open, operand, &name, args)?
                } else {
                    self.node(
                        place,
                        Kind::Select { operand: Box::new(operand), field: name, test_only: false },
                    )?
                };
            } else if let Some(place) = self.take("[") {
                let function = if self.take("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expression()?;
                self.expect("]")?;
                operand = self.call(place, function, vec![operand, index])?;
            } else if self.is("{") {
                let Some(name) = qualified(&operand) else { return Ok(operand) };
                operand = self.object(name)?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn unexpected(&mut self, expecting: &str) -> Stop {
        let (place, word) = (self.peek().place, self.shown(self.at));
        self.wrong(place, format!("Syntax error: mismatched input {word} expecting {expecting}"))
    }

    fn arguments(&mut self, close: &str) -> Result<Vec<Expr>, Stop> {
        let mut args = Vec::new();
        if self.take(close).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.take(",").is_none() {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let word = self.peek().clone();
        match word.token {
            Token::Literal(literal) => {
                self.at += 1;
                self.node(word.place, Kind::Literal(literal))
            }
            Token::Ident(name) => self.named(word.place, &name, ""),
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign(".") => {
                self.at += 1;
                let Token::Ident(name) = self.peek().token.clone() else {
                    return Err(self.unexpected("IDENTIFIER"));
                };
                self.named(word.place, &name, ".")
            }
            Token::Sign("[") => self.list(word.place),
            Token::Sign("{") => self.map(word.place),
            _ => Err(self.unexpected(PRIMARY)),
        }
    }

    fn named(&mut self, place: usize, name: &str, dot: &str) -> Parsed {
        self.at += 1;
        if RESERVED.contains(&name) {
            return Err(self.wrong(place, format!("reserved identifier: {name}")));
        }
        let full = format!("{dot}{name}");
        if self.is("(") {
            let open = self.expect("(")?;
            let args = self.arguments(")")?;
            return self.global_call(open, &full, args);
        }
        self.node(place, Kind::Ident(full.into()))
    }

    fn list(&mut self, place: usize) -> Parsed {
        self.at += 1;
        let (mut items, mut optional) = (Vec::new(), Vec::new());
        while self.take("]").is_none() {
            optional.push(self.take("?").is_some());
            items.push(self.expression()?);
            if self.take(",").is_none() {
                self.expect("]")?;
                break;
            }
        }
        self.node(place, Kind::List { items, optional })
    }

    fn map(&mut self, place: usize) -> Parsed {
        self.at += 1;
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.node(place, Kind::Map(entries))
    }

    fn object(&mut self, name: String) -> Parsed {
        let place = self.expect("{")?;
        let mut fields = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let word = self.peek().clone();
            let (Token::Ident(name) | Token::Quoted(name)) = word.token else {
                return Err(self.unexpected("IDENTIFIER"));
            };
            self.at += 1;
            let colon = self.expect(":")?;
            let id = self.id(colon);
            let value = self.expression()?;
            fields.push(Field { id, name, value, optional });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.node(place, Kind::Struct { name: name.into(), fields })
    }
}

/// `a.b.c`, if that is what an expression is.
pub(crate) fn qualified(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.to_string()),
        Kind::Select { operand, field, test_only: false } => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}

/// The name that an identifier has.
pub(crate) fn simple(expr: &Expr) -> Option<Arc<str>> {
    match &expr.kind {
        Kind::Ident(name) if !name.starts_with('.') => Some(name.clone()),
        _ => None,
    }
}

/// The longest text, in characters.
const TEXT_MAX: usize = 100_000;
/// How deep a text may nest.
const NESTING_MAX: u32 = 100;
/// How deep an expression may nest; macros make it deeper than its text.
const DEPTH_MAX: u32 = 250;

/// So many of the levels are `||` and `&&`.
const JUNCTIONS: usize = 2;

const LEVELS: [&[(&str, &str)]; 5] = [
    &[("||", "_||_")],
    &[("&&", "_&&_")],
    &[
        ("==", "_==_"),
        ("!=", "_!=_"),
        ("<=", "_<=_"),
        (">=", "_>=_"),
        ("<", "_<_"),
        (">", "_>_"),
        ("in", "@in"),
    ],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

/// Identifiers that the language keeps for itself.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, \
                       STRING, BYTES, IDENTIFIER}";

const AFTER: &str =
    "{<EOF>, '==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', '+', '*', '/', '%%'}";
