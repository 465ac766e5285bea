//! From pieces to a tree.

use serde_json::Value;

use super::TemplateError;
use super::lex::{Piece, Token, pieces, syntax};

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Text as it stands.
    Text(String),
    /// A pipeline whose value is printed, unless it sets a variable.
    Print(Pipeline),
    /// `if` or `with` (which also moves the dot).
    Branch {
        /// What decides.
        pipeline: Pipeline,
        /// Whether the dot moves to its value.
        moves_dot: bool,
        /// When it is true.
        then: Vec<Node>,
        /// When it is not.
        otherwise: Vec<Node>,
    },
    /// `range`.
    Range {
        /// What is gone through.
        pipeline: Pipeline,
        /// For each element.
        body: Vec<Node>,
        /// When there is none.
        otherwise: Vec<Node>,
    },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// Commands, each fed with the value of the one before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pipeline {
    /// Variables that it sets.
    pub(super) variables: Vec<String>,
    /// Whether it makes them (`:=`) or changes them (`=`).
    pub(super) declares: bool,
    /// The commands, first first.
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// A function.
    Function(String),
    /// A string, number or truth.
    Literal(Value),
    /// The dot and fields of it.
    Dot(Vec<String>),
    /// A variable and fields of it.
    Variable(String, Vec<String>),
    /// A pipeline in parentheses and fields of its value.
    Pipeline(Pipeline, Vec<String>),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        End::Text => Ok(nodes),
        End::Closed => Err(syntax("{{end}} without an if, range or with")),
        End::Else(_) => Err(syntax("{{else}} without an if, range or with")),
    }
}

/// The fields of the dot that are printed at the top level.
pub(super) fn fields(nodes: &[Node]) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes {
        if let Node::Print(pipeline) = node {
            let operands = pipeline.commands.iter().flatten();
            found.extend(operands.filter_map(|operand| match operand {
                Operand::Dot(fields) => fields.first().cloned(),
                _ => None,
            }));
        }
    }
    found
}

/// The texts that follow `.METHOD` as its arguments, wherever it stands.
pub(super) fn arguments_of(nodes: &[Node], method: &str) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes {
        let (pipeline, bodies): (_, [&[Node]; 2]) = match node {
            Node::Print(pipeline) => (pipeline, [&[], &[]]),
            Node::Branch { pipeline, then, otherwise, .. } => (pipeline, [then, otherwise]),
            Node::Range { pipeline, body, otherwise } => (pipeline, [body, otherwise]),
            Node::Text(_) | Node::Break | Node::Continue => continue,
        };
        given(pipeline, method, &mut found);
        found.extend(bodies.iter().flat_map(|body| arguments_of(body, method)));
    }
    found
}

fn given(pipeline: &Pipeline, method: &str, found: &mut Vec<String>) {
    for command in &pipeline.commands {
        let is_method = |operand: &Operand| matches!(operand, Operand::Dot(fields) if *fields == [method]);
        if command.first().is_some_and(is_method) {
            let texts = command[1..].iter();
            found.extend(texts.filter_map(|operand| match operand {
                Operand::Literal(Value::String(text)) => Some(text.clone()),
                _ => None,
            }));
        }
        for operand in command {
            if let Operand::Pipeline(inner, _) = operand {
                given(inner, method, found);
            }
        }
    }
}

/// What ended a block.
enum End {
    Text,
    Closed,
    /// With the rest of the action: `if …` or nothing.
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
}

/// Deeper nesting than any person writes; it bounds the recursion.
const DEPTH_MAX: usize = 100;

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(syntax("it is nested too deeply"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let tokens = trim(&tokens);
            let Some(Token::Word(word)) = tokens.first() else {
                nodes.push(Node::Print(pipeline(tokens, 0)?));
                continue;
            };
            match word.as_str() {
                "end" => return self.close(nodes, End::Closed),
                "else" => return self.close(nodes, End::Else(trim(&tokens[1..]).to_vec())),
                "if" | "with" | "range" => nodes.push(self.control(word, trim(&tokens[1..]))?),
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "template" | "block" => return Err(syntax(format!("{word} is not supported"))),
                _ => nodes.push(Node::Print(pipeline(tokens, 0)?)),
            }
        }
        self.close(nodes, End::Text)
    }

    fn close(&mut self, nodes: Vec<Node>, end: End) -> Result<(Vec<Node>, End), TemplateError> {
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn control(&mut self, word: &str, condition: &[Token]) -> Result<Node, TemplateError> {
        let pipeline = pipeline(condition, 0)?;
        let (then, end) = self.block()?;
        let otherwise = match end {
            End::Closed => Vec::new(),
            End::Text => return Err(syntax(format!("{{{{{word}}}}} has no {{{{end}}}}"))),
            End::Else(rest) => self.otherwise(&rest)?,
        };
        Ok(match word {
            "range" => Node::Range { pipeline, body: then, otherwise },
            word => Node::Branch { pipeline, moves_dot: word == "with", then, otherwise },
        })
    }

    fn otherwise(&mut self, rest: &[Token]) -> Result<Vec<Node>, TemplateError> {
        match rest.first() {
            None => match self.block()? {
                (nodes, End::Closed) => Ok(nodes),
                _ => Err(syntax("{{else}} has no {{end}}")),
            },
            Some(Token::Word(word)) if word == "if" || word == "with" => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(syntax("it is nested too deeply"));
                }
                let node = self.control(word, trim(&rest[1..]))?;
                self.depth -= 1;
                Ok(vec![node])
            }
            Some(_) => Err(syntax("expected {{else}} or {{else if …}}")),
        }
    }
}

fn trim(tokens: &[Token]) -> &[Token] {
    let tokens = tokens.strip_prefix(&[Token::Space]).unwrap_or(tokens);
    tokens.strip_suffix(&[Token::Space]).unwrap_or(tokens)
}

fn pipeline(tokens: &[Token], depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > DEPTH_MAX {
        return Err(syntax("it is nested too deeply"));
    }
    let (variables, declares, tokens) = assignment(tokens)?;
    let mut cursor = Cursor { tokens, at: 0, depth };
    let mut commands = vec![Vec::new()];
    while let Some(token) = cursor.peek() {
        match token {
            Token::Space => cursor.at += 1,
            Token::Pipe => {
                cursor.at += 1;
                commands.push(Vec::new());
            }
            _ => {
                let operand = cursor.operand()?;
                if let Some(command) = commands.last_mut() {
                    command.push(operand);
                }
            }
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(syntax("an action or a part of a pipeline is empty"));
    }
    Ok(Pipeline { variables, declares, commands })
}

/// `$a := `, `$a = `, `$a, $b := ` at the head of a pipeline.
fn assignment(tokens: &[Token]) -> Result<(Vec<String>, bool, &[Token]), TemplateError> {
    let sets = tokens.iter().position(|token| matches!(token, Token::Declare | Token::Assign));
    let Some(at) = sets else { return Ok((Vec::new(), false, tokens)) };
    let mut variables = Vec::new();
    for token in &tokens[..at] {
        match token {
            Token::Variable(name) => variables.push(name.clone()),
            Token::Space | Token::Comma => {}
            _ => return Err(syntax("only variables can be set, as in $name := .Field")),
        }
    }
    if variables.is_empty() || variables.len() > 2 {
        return Err(syntax("one variable, or two in a range, can be set at once"));
    }
    Ok((variables, tokens[at] == Token::Declare, &tokens[at + 1..]))
}

struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            Some(Token::Word(name)) => Ok(Operand::Function(name)),
            Some(Token::Literal(value)) => Ok(Operand::Literal(value)),
            Some(Token::Dot) => Ok(Operand::Dot(Vec::new())),
            Some(Token::Field(name)) => {
                let mut fields = vec![name];
                fields.extend(self.fields());
                Ok(Operand::Dot(fields))
            }
            Some(Token::Variable(name)) => Ok(Operand::Variable(name, self.fields())),
            Some(Token::Open) => {
                let end = self.closing()?;
                let inner = pipeline(trim(&self.tokens[self.at..end]), self.depth + 1)?;
                self.at = end + 1;
                Ok(Operand::Pipeline(inner, self.fields()))
            }
            _ => Err(syntax("unexpected punctuation in an action")),
        }
    }

    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.at += 1;
        }
        fields
    }

    /// Where the parenthesis that was just opened is closed.
    fn closing(&self) -> Result<usize, TemplateError> {
        let mut open = 1;
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token {
                Token::Open => open += 1,
                Token::Close => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Ok(at);
            }
        }
        Err(syntax("a ( has no closing )"))
    }
}
