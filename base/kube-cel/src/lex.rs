//! From text to words.

use std::sync::Arc;

use crate::ast::{Issue, Literal};

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Ident(Arc<str>),
    /// A name in backquotes, for fields whose names are no identifiers.
    Quoted(Arc<str>),
    Literal(Literal),
    Sign(&'static str),
    End,
}

/// A word, where it stands and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) token: Token,
    pub(crate) place: usize,
    pub(crate) end: usize,
}

const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "<", ">", "in", "=",
];

/// Splits a text into words.
pub(crate) fn words(text: &[char], issues: &mut Vec<Issue>) -> Vec<Word> {
    let mut lexer = Lexer { text, at: 0, issues, words: Vec::new() };
    lexer.run();
    lexer.words
}

struct Lexer<'t, 'i> {
    text: &'t [char],
    at: usize,
    issues: &'i mut Vec<Issue>,
    words: Vec<Word>,
}

impl Lexer<'_, '_> {
    fn peek(&self, ahead: usize) -> char {
        self.text.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn run(&mut self) {
        while let Some(&c) = self.text.get(self.at) {
            let place = self.at;
            if c.is_ascii_whitespace() {
                self.at += 1;
                continue;
            }
            if c == '/' && self.peek(1) == '/' {
                while self.at < self.text.len() && self.text[self.at] != '\n' {
                    self.at += 1;
                }
                continue;
            }
            if let Some(token) = self.token(c) {
                self.words.push(Word { token, place, end: self.at });
            }
        }
        let end = self.text.len();
        self.words.push(Word { token: Token::End, place: end, end });
    }

    fn token(&mut self, c: char) -> Option<Token> {
        if let Some(prefix) = self.string_prefix() {
            return self.string(&prefix);
        }
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        if c.is_ascii_alphabetic() || c == '_' {
            return Some(self.identifier());
        }
        if c == '`' {
            return self.quoted();
        }
        for sign in SIGNS {
            if sign != "in" && sign.chars().enumerate().all(|(at, wanted)| self.peek(at) == wanted) {
                if sign == "=" {
                    break;
                }
                self.at += sign.len();
                return Some(Token::Sign(sign));
            }
        }
        self.wrong(self.at, format!("Syntax error: token recognition error at: '{c}'"));
        self.at += 1;
        None
    }

    fn wrong(&mut self, place: usize, message: String) {
        self.issues.push(Issue { place, message });
    }

    fn identifier(&mut self) -> Token {
        let start = self.at;
        while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == '_' {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        match name.as_str() {
            "true" => Token::Literal(Literal::Bool(true)),
            "false" => Token::Literal(Literal::Bool(false)),
            "null" => Token::Literal(Literal::Null),
            "in" => Token::Sign("in"),
            name => Token::Ident(name.into()),
        }
    }

    fn quoted(&mut self) -> Option<Token> {
        let start = self.at + 1;
        let fits = |c: &char| c.is_ascii_alphanumeric() || "_.-/ ".contains(*c);
        let length = self.text[start..].iter().take_while(|c| fits(c)).count();
        if length == 0 || self.text.get(start + length) != Some(&'`') {
            self.wrong(self.at, "Syntax error: token recognition error at: '`'".to_owned());
            self.at += 1;
            return None;
        }
        self.at = start + length + 1;
        Some(Token::Quoted(self.text[start..start + length].iter().collect::<String>().into()))
    }

    fn number(&mut self) -> Option<Token> {
        let start = self.at;
        if self.peek(0) == '0' && matches!(self.peek(1), 'x' | 'X') && self.peek(2).is_ascii_hexdigit() {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
            let digits: String = self.text[start + 2..self.at].iter().collect();
            return self.whole(start, &digits, 16);
        }
        let digits = |lexer: &mut Self| {
            while lexer.peek(0).is_ascii_digit() {
                lexer.at += 1;
            }
        };
        digits(self);
        let mut real = false;
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            real = true;
            self.at += 1;
            digits(self);
        }
        if matches!(self.peek(0), 'e' | 'E') {
            let sign = usize::from(matches!(self.peek(1), '+' | '-'));
            if self.peek(1 + sign).is_ascii_digit() {
                real = true;
                self.at += 1 + sign;
                digits(self);
            }
        }
        let text: String = self.text[start..self.at].iter().collect();
        if !real {
            return self.whole(start, &text, 10);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Token::Literal(Literal::Double(number))),
            _ => {
                self.wrong(start, "invalid double literal".to_owned());
                Some(Token::Literal(Literal::Double(0.0)))
            }
        }
    }

    fn whole(&mut self, start: usize, digits: &str, radix: u32) -> Option<Token> {
        if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            return match u64::from_str_radix(digits, radix) {
                Ok(number) => Some(Token::Literal(Literal::Uint(number))),
                Err(_) => {
                    self.wrong(start, "invalid uint literal".to_owned());
                    Some(Token::Literal(Literal::Uint(0)))
                }
            };
        }
        let negative = matches!(self.words.last(), Some(Word { token: Token::Sign("-"), .. }))
            && !self.words.iter().rev().nth(1).is_some_and(|before| {
                matches!(before.token, Token::Ident(_) | Token::Literal(_) | Token::Sign(")" | "]" | "}"))
            });
        match u64::from_str_radix(digits, radix) {
            Ok(number) if i64::try_from(number).is_ok() => Some(Token::Literal(Literal::Int(number as i64))),
            // The parser makes the smallest number of this and the sign before it.
            Ok(number) if negative && number == 1 << 63 => Some(Token::Literal(Literal::Int(i64::MIN))),
            _ => {
                self.wrong(start, "invalid int literal".to_owned());
                Some(Token::Literal(Literal::Int(0)))
            }
        }
    }

    fn string_prefix(&self) -> Option<Prefix> {
        let mut prefix = Prefix { raw: false, bytes: false, length: 0 };
        loop {
            match self.peek(prefix.length) {
                'r' | 'R' if !prefix.raw => prefix.raw = true,
                'b' | 'B' if !prefix.bytes => prefix.bytes = true,
                '"' | '\'' => return Some(prefix),
                _ => return None,
            }
            prefix.length += 1;
        }
    }

    fn string(&mut self, prefix: &Prefix) -> Option<Token> {
        let start = self.at;
        self.at += prefix.length;
        let quote = self.peek(0);
        let long = self.peek(1) == quote && self.peek(2) == quote;
        let width = if long { 3 } else { 1 };
        self.at += width;
        let from = self.at;
        loop {
            if self.at >= self.text.len() || (!long && matches!(self.peek(0), '\n' | '\r')) {
                self.at = self.at.min(self.text.len());
                let shown: String = self.text[start..self.at].iter().collect();
                self.wrong(start, format!("Syntax error: token recognition error at: '{shown}'"));
                return None;
            }
            if (0..width).all(|at| self.peek(at) == quote) {
                break;
            }
            let escape = self.peek(0) == '\\' && !prefix.raw;
            self.at += if escape { 2 } else { 1 };
        }
        let body = &self.text[from..self.at];
        self.at += width;
        let value = unescape(body, prefix);
        let Some((text, bytes)) = value else {
            let shown: String = self.text[start..self.at].iter().collect();
            self.wrong(start, format!("Syntax error: token recognition error at: '{shown}'"));
            return None;
        };
        Some(Token::Literal(if prefix.bytes {
            Literal::Bytes(bytes.into())
        } else {
            Literal::Text(text.into())
        }))
    }
}

struct Prefix {
    raw: bool,
    bytes: bool,
    length: usize,
}

/// The text, and its bytes, with escapes resolved; in bytes, `\xff` is one byte.
fn unescape(body: &[char], prefix: &Prefix) -> Option<(String, Vec<u8>)> {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let mut at = 0;
    let put = |c: char, text: &mut String, bytes: &mut Vec<u8>| {
        if prefix.bytes {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            text.push(c);
        }
    };
    while let Some(&c) = body.get(at) {
        at += 1;
        if c == '\r' && !prefix.raw {
            at += usize::from(body.get(at) == Some(&'\n'));
            put('\n', &mut text, &mut bytes);
            continue;
        }
        if c != '\\' || prefix.raw {
            put(c, &mut text, &mut bytes);
            continue;
        }
        let code = *body.get(at)?;
        at += 1;
        let simple = match code {
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            '\\' | '\'' | '"' | '`' | '?' => Some(code),
            _ => None,
        };
        if let Some(c) = simple {
            put(c, &mut text, &mut bytes);
            continue;
        }
        let (digits, radix, skip) = match code {
            'x' | 'X' => (2, 16, 0),
            'u' if !prefix.bytes => (4, 16, 0),
            'U' if !prefix.bytes => (8, 16, 0),
            '0'..='3' => (3, 8, 1),
            _ => return None,
        };
        let from = at - skip;
        let number: String = body.get(from..from + digits)?.iter().collect();
        let number = u32::from_str_radix(&number, radix).ok()?;
        at = from + digits;
        if prefix.bytes {
            bytes.push(u8::try_from(number).ok()?);
        } else {
            text.push(char::from_u32(number)?);
        }
    }
    Some((text, bytes))
}
