//! YAML to a tree, with limits on depth and on what aliases may multiply.

use std::collections::HashMap;

use crate::json::{self, Budget, DEPTH_MAX, Decoded, OverBudget};
use crate::strict;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};

use super::flow;
use super::scalar::resolve;

/// Nodes of a document, with those of aliases: an object of so many lines that no store would take
/// it. The parser needs about a microsecond for each.
const NODES_MAX: usize = 80_000;
/// Commas, colons and brackets of one flow collection, which the parser keeps as a whole.
const FLOW_MARKS_MAX: usize = 20_000;
/// What aliases may repeat.
const ALIASED_NODES_MAX: usize = 50_000;
/// What anchors may keep and aliases may repeat, in bytes: few nodes can be long texts.
const COPIED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The text is no YAML, or none that JSON can say.
#[derive(Debug, thiserror::Error)]
pub enum InvalidYaml {
    /// No UTF-8.
    #[error("yaml: invalid UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// A byte below the blank that is no white space.
    #[error("yaml: control characters are not allowed")]
    ControlCharacter,
    /// Its syntax.
    #[error("yaml: line {}: {}", .0.marker().line(), .0.info())]
    Syntax(ScanError),
    /// Too many levels.
    #[error("yaml: nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Too much, mostly by aliases of aliases.
    #[error("yaml: document contains excessive aliasing")]
    TooLarge,
    /// Too much in braces or brackets.
    #[error("yaml: a flow collection is too large: write it as blocks, or send JSON")]
    FlowTooLarge,
    /// More than a body may hold.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// An alias before its anchor, or inside of it.
    #[error("yaml: unknown anchor referenced")]
    UnknownAnchor,
    /// A number that JSON does not have.
    #[error("yaml: unsupported value: {0}")]
    Unsupported(String),
    /// A key that is no scalar, or a merge of what is no map.
    #[error("yaml: invalid map key or merge")]
    BadKey,
    /// A second document.
    #[error("yaml: more than one document")]
    SecondDocument,
}

/// Reads one document; nothing at all is null. Duplicates are said in the words of Go's decoder:
/// `line 2: key "a" already set in map`.
pub fn read(bytes: &[u8]) -> Result<Decoded, InvalidYaml> {
    let text = std::str::from_utf8(bytes).map_err(InvalidYaml::Utf8)?;
    if text.bytes().any(|byte| byte < b' ' && !b"\t\n\r".contains(&byte)) {
        return Err(InvalidYaml::ControlCharacter);
    }
    if flow::has_more_marks(text, FLOW_MARKS_MAX) {
        return Err(InvalidYaml::FlowTooLarge);
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(InvalidYaml::Syntax)?;
        builder.take(event, span.start.line())?;
    }
    Ok(Decoded { value: builder.root.unwrap_or_default(), duplicates: builder.duplicates })
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Value>,
    duplicates: Vec<String>,
    budget: Budget,
    nodes: usize,
    aliased: usize,
    copied: usize,
    documents: usize,
}

/// What an anchor is the name of.
struct Anchored {
    value: Value,
    nodes: usize,
    bytes: usize,
}

struct Frame {
    container: Container,
    anchor: usize,
    /// `nodes` before it, which tells how many it holds.
    nodes_before: usize,
    /// Where it begins.
    line: usize,
}

enum Container {
    List(Vec<Value>),
    Map { fields: Map<String, Value>, key: Option<Key>, merges: Vec<Value> },
}

enum Key {
    /// A name, and how Go prints it.
    Name(String, String),
    Merge,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), InvalidYaml> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 { Err(InvalidYaml::SecondDocument) } else { Ok(()) }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1)?;
                self.budget.value(text.len())?;
                let value = scalar(&text, style, tag.as_deref())?;
                let merges = style == ScalarStyle::Plain && text == "<<";
                self.remember(anchor, &value, 1)?;
                self.put(value, merges, line)
            }
            Event::Alias(anchor) => {
                let Anchored { value, nodes, bytes } =
                    self.anchors.get(&anchor).ok_or(InvalidYaml::UnknownAnchor)?;
                self.aliased = self.aliased.saturating_add(*nodes);
                self.copied = self.copied.saturating_add(*bytes);
                if self.aliased > ALIASED_NODES_MAX || self.copied > COPIED_BYTES_MAX {
                    return Err(InvalidYaml::TooLarge);
                }
                let (value, nodes) = (value.clone(), *nodes);
                self.count(nodes)?;
                if self.stack.len() + json::depth(&value) > DEPTH_MAX {
                    return Err(InvalidYaml::TooDeep);
                }
                self.put(value, false, line)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, Container::List(Vec::new()), line),
            Event::MappingStart(anchor, _) => {
                self.budget.object()?;
                let (fields, merges) = (Map::new(), Vec::new());
                self.open(anchor, Container::Map { fields, key: None, merges }, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), InvalidYaml> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX { Err(InvalidYaml::TooLarge) } else { Ok(()) }
    }

    fn remember(&mut self, anchor: usize, value: &Value, nodes: usize) -> Result<(), InvalidYaml> {
        if anchor == 0 {
            return Ok(());
        }
        let bytes = bytes_of(value);
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > COPIED_BYTES_MAX {
            return Err(InvalidYaml::TooLarge);
        }
        self.anchors.insert(anchor, Anchored { value: value.clone(), nodes, bytes });
        Ok(())
    }

    fn open(&mut self, anchor: usize, container: Container, line: usize) -> Result<(), InvalidYaml> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(InvalidYaml::TooDeep);
        }
        let nodes_before = self.nodes;
        self.count(1)?;
        self.stack.push(Frame { container, anchor, nodes_before, line });
        Ok(())
    }

    fn close(&mut self) -> Result<(), InvalidYaml> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.container {
            Container::List(items) => Value::Array(items),
            Container::Map { mut fields, merges, .. } => {
                for merged in merges {
                    merge(&mut fields, merged)?;
                }
                Value::Object(fields)
            }
        };
        self.remember(frame.anchor, &value, self.nodes - frame.nodes_before)?;
        self.put(value, false, frame.line)
    }

    fn put(&mut self, value: Value, is_merge: bool, line: usize) -> Result<(), InvalidYaml> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        match &mut frame.container {
            Container::List(items) => items.push(value),
            Container::Map { fields, key, merges } => match key.take() {
                None if is_merge => *key = Some(Key::Merge),
                None => {
                    let shown = value.to_string();
                    *key = Some(Key::Name(key_text(value)?, shown));
                }
                Some(Key::Merge) => merges.push(value),
                Some(Key::Name(name, shown)) => {
                    let twice = fields.insert(name, value).is_some();
                    if twice && !strict::is_enough(&self.duplicates) {
                        self.duplicates.push(format!("line {line}: key {shown} already set in map"));
                    }
                }
            },
        }
        Ok(())
    }
}

/// Roughly what a copy of the value takes.
fn bytes_of(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes_of).sum(),
            Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + bytes_of(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, InvalidYaml> {
    let unsupported = || InvalidYaml::Unsupported(text.chars().take(40).collect());
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core {
        Some("str" | "binary") => Ok(Value::from(text)),
        Some("int" | "float" | "bool" | "null") => resolve(text).ok_or_else(unsupported),
        _ if style == ScalarStyle::Plain && tag.is_none() => resolve(text).ok_or_else(unsupported),
        _ => Ok(Value::from(text)),
    }
}

fn key_text(value: Value) -> Result<String, InvalidYaml> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) | Value::Null => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err(InvalidYaml::BadKey),
    }
}

fn merge(fields: &mut Map<String, Value>, merged: Value) -> Result<(), InvalidYaml> {
    match merged {
        Value::Object(merged) => {
            for (name, value) in merged {
                fields.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.into_iter().try_for_each(|item| merge(fields, item))
        }
        _ => Err(InvalidYaml::BadKey),
    }
}
