//! Fills a tree in with data.

use serde_json::Value;

use super::TemplateError;
use super::parse::{Node, Operand, Pipeline};
use super::{functions, types};

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Scope {
    variables: Vec<(String, Value)>,
    out: String,
}

pub(super) fn render(nodes: &[Node], data: &Value) -> Result<String, TemplateError> {
    // `$` is the data that the template started with.
    let mut scope = Scope { variables: vec![(String::new(), data.clone())], out: String::new() };
    scope.body(nodes, data)?;
    Ok(scope.out)
}

impl Scope {
    fn body(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::On => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if !self.set(pipeline, value.clone())? {
                    match value {
                        Value::Null => self.out.push_str(types::nothing(fields(pipeline))),
                        value => self.out.push_str(&functions::formatted(&value)),
                    }
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Branch { pipeline, moves_dot, then, otherwise } => {
                let depth = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                self.set(pipeline, value.clone())?;
                let flow = match functions::is_true(&value) {
                    true if *moves_dot => self.body(then, &value)?,
                    true => self.body(then, dot)?,
                    false => self.body(otherwise, dot)?,
                };
                self.variables.truncate(depth);
                return Ok(flow);
            }
            Node::Range { pipeline, body, otherwise } => return self.range(pipeline, body, otherwise, dot),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, TemplateError> {
        let elements: Vec<(Value, Value)> = match self.pipeline(pipeline, dot)? {
            Value::Array(list) => list.into_iter().enumerate().map(|(at, v)| (at.into(), v)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, v)| (key.into(), v)).collect(),
            Value::Number(n) => (0..n.as_u64().unwrap_or(0)).map(|at| (at.into(), at.into())).collect(),
            Value::Null => Vec::new(),
            other => {
                return Err(functions::wrong(
                    "range",
                    format!("cannot go through {}", functions::formatted(&other)),
                ));
            }
        };
        if elements.is_empty() {
            return self.body(otherwise, dot);
        }
        let depth = self.variables.len();
        for (key, value) in elements {
            match pipeline.variables.as_slice() {
                [] => {}
                [element] => self.variables.push((element.clone(), value.clone())),
                [index, element, ..] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((element.clone(), value.clone()));
                }
            }
            let flow = self.body(body, &value)?;
            self.variables.truncate(depth);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// Sets the pipeline's variable, if it has one.
    fn set(&mut self, pipeline: &Pipeline, value: Value) -> Result<bool, TemplateError> {
        let Some(name) = pipeline.variables.first() else { return Ok(false) };
        if pipeline.declares {
            self.variables.push((name.clone(), value));
            return Ok(true);
        }
        let existing = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        existing.ok_or_else(|| undefined(name))?.1 = value;
        Ok(true)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped: Option<Value> = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn command(
        &mut self,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let Some((first, rest)) = operands.split_first() else { return Ok(Value::Null) };
        let Operand::Function(name) = first else {
            let value = self.operand(first, dot)?;
            let arguments =
                rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
            // `.Label "key"` is a method in docker's rows; here it is a map.
            return match arguments.into_iter().chain(piped).next() {
                None => Ok(value),
                Some(Value::String(key)) if value.is_object() => {
                    Ok(value.get(&key).cloned().unwrap_or("".into()))
                }
                Some(_) => Err(functions::wrong("call", "only functions take arguments".to_owned())),
            };
        };
        // `and` and `or` stop at the first operand that decides.
        if name == "and" || name == "or" {
            return self.short_circuit(name == "or", rest, piped, dot);
        }
        let mut arguments =
            rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        functions::call(name, &arguments)
    }

    fn short_circuit(
        &mut self,
        until: bool,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut last = Value::Null;
        for operand in operands {
            last = self.operand(operand, dot)?;
            if functions::is_true(&last) == until {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => functions::call(name, &[]),
            Operand::Dot(fields) => walk(dot, fields),
            Operand::Variable(name, fields) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                walk(&found.ok_or_else(|| undefined(name))?.1, fields)
            }
            Operand::Pipeline(pipeline, fields) => {
                let value = self.pipeline(pipeline, dot)?;
                walk(&value, fields)
            }
        }
    }
}

/// The fields by which a pipeline that is nothing else gets at its value.
fn fields(pipeline: &Pipeline) -> &[String] {
    match pipeline.commands.as_slice() {
        [command] => match command.as_slice() {
            [Operand::Dot(fields) | Operand::Variable(_, fields) | Operand::Pipeline(_, fields)] => fields,
            _ => &[],
        },
        _ => &[],
    }
}

fn undefined(name: &str) -> TemplateError {
    super::lex::syntax(format!("variable ${name} is not set"))
}

fn walk(value: &Value, fields: &[String]) -> Result<Value, TemplateError> {
    let mut here = value;
    for (at, field) in fields.iter().enumerate() {
        let missing = |known: String| TemplateError::NoField { field: field.clone(), known };
        here = match here {
            Value::Object(map) => match map.get(field) {
                Some(value) => value,
                None if at > 0 && types::is_map(&fields[at - 1]) => return Ok(Value::Null),
                None => {
                    let left_out = types::left_out(map, field).filter(|_| at + 1 == fields.len());
                    return left_out
                        .ok_or_else(|| missing(map.keys().cloned().collect::<Vec<_>>().join(", ")));
                }
            },
            Value::Null => return Ok(Value::Null),
            _ => return Err(missing("none, it is a plain value".to_owned())),
        };
    }
    Ok(here.clone())
}
