//! From the text of a template to pieces: plain text, and the tokens of each action.

use serde_json::Value;

use super::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Text as it stands.
    Text(String),
    /// What is between `{{` and `}}`.
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A function or keyword.
    Word(String),
    /// `.Name`; the dot alone is [`Token::Dot`].
    Field(String),
    /// `.`
    Dot,
    /// `$name`; `$` alone is the empty name.
    Variable(String),
    /// A string, number or character.
    Literal(Value),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `|`
    Pipe,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// White space, which separates operands and ends a chain of fields.
    Space,
}

pub(super) fn syntax(why: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { why: why.into() }
}

/// Cuts `text` at its actions.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_left = false;
    loop {
        let (plain, action) = match rest.split_once("{{") {
            None => (rest, None),
            Some((plain, action)) => (plain, Some(action)),
        };
        let opens_with_trim = action.is_some_and(|action| {
            action.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_whitespace))
        });
        let mut plain = if trim_left { plain.trim_start() } else { plain };
        if opens_with_trim {
            plain = plain.trim_end();
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        let Some(action) = action else { return Ok(pieces) };
        let action = if opens_with_trim { &action[1..] } else { action };
        let (tokens, after, trims) = one_action(action)?;
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action(tokens));
        }
        trim_left = trims;
        rest = after;
    }
}

/// Tokens (`None` for a comment), what follows the action, and whether that is trimmed.
type Action<'t> = (Option<Vec<Token>>, &'t str, bool);

fn one_action(text: &str) -> Result<Action<'_>, TemplateError> {
    let unclosed = || syntax("an action has no closing }}");
    if let Some(comment) = text.trim_start().strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or_else(|| syntax("a comment has no closing */"))?;
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix("-}}") {
            return Ok((None, after, true));
        }
        return after.strip_prefix("}}").map(|after| (None, after, false)).ok_or_else(unclosed);
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((Some(tokens), after, false));
        }
        if tokens.last() == Some(&Token::Space)
            && let Some(after) = rest.strip_prefix("-}}")
        {
            return Ok((Some(tokens), after, true));
        }
        if rest.is_empty() {
            return Err(unclosed());
        }
        let (token, after) = one_token(rest)?;
        if token != Token::Space || tokens.last() != Some(&Token::Space) {
            tokens.push(token);
        }
        rest = after;
    }
}

fn one_token(text: &str) -> Result<(Token, &str), TemplateError> {
    let first = text.chars().next().unwrap_or(' ');
    let after = &text[first.len_utf8()..];
    let simple = |token| Ok((token, after));
    match first {
        c if c.is_whitespace() => simple(Token::Space),
        '(' => simple(Token::Open),
        ')' => simple(Token::Close),
        '|' => simple(Token::Pipe),
        ',' => simple(Token::Comma),
        '=' => simple(Token::Assign),
        ':' => match after.strip_prefix('=') {
            Some(after) => Ok((Token::Declare, after)),
            None => Err(syntax("expected := after a variable")),
        },
        '"' => quoted(after),
        '`' => match after.split_once('`') {
            Some((raw, after)) => Ok((Token::Literal(raw.into()), after)),
            None => Err(syntax("a raw string has no closing `")),
        },
        '$' => {
            let (name, after) = word(after);
            Ok((Token::Variable(name.to_owned()), after))
        }
        '.' if after.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
            let (name, after) = word(after);
            Ok((Token::Field(name.to_owned()), after))
        }
        '.' if !after.starts_with(|c: char| c.is_ascii_digit()) => simple(Token::Dot),
        c if c.is_alphabetic() || c == '_' => {
            let (name, after) = word(text);
            let token = match name {
                "true" => Token::Literal(true.into()),
                "false" => Token::Literal(false.into()),
                "nil" => Token::Literal(Value::Null),
                name => Token::Word(name.to_owned()),
            };
            Ok((token, after))
        }
        c if c.is_ascii_digit() || "+-.".contains(c) => number(text),
        c => Err(syntax(format!("unexpected character {c:?}"))),
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str) -> Result<(Token, &str), TemplateError> {
    let end = text
        .char_indices()
        .find(|(at, c)| !c.is_ascii_digit() && *c != '.' && !(*at == 0 && "+-".contains(*c)))
        .map_or(text.len(), |(at, _)| at);
    let (number, after) = text.split_at(end);
    let invalid = || syntax(format!("{number:?} is not a number"));
    let value: Value = match number.trim_start_matches('+').parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => number.parse::<f64>().map_err(|_| invalid())?.into(),
    };
    Ok((Token::Literal(value), after))
}

/// A Go string; the opening quote is behind us.
fn quoted(text: &str) -> Result<(Token, &str), TemplateError> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Literal(value.into()), &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(c @ ('"' | '\\' | '\'')) => value.push(c),
                Some(c @ ('x' | 'u')) => {
                    let digits = if c == 'x' { 2 } else { 4 };
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    value.push(code.ok_or_else(|| syntax(format!("\\{c}{hex} is not a character")))?);
                }
                _ => return Err(syntax("unknown escape in a string")),
            },
            c => value.push(c),
        }
    }
    Err(syntax("a string has no closing \""))
}
