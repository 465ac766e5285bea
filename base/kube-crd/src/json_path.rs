//! JSONPath, as far as printer columns use it: fields, indexes, slices, wildcards,
//! unions, filters that compare, and descent.

use serde_json::Value;

/// A path that can be followed.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

/// A text is no JSONPath, or one of more than is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON path {path:?}: {reason} at character {at}")]
pub struct InvalidJsonPath {
    path: String,
    reason: &'static str,
    at: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    All,
    Descend,
    Slice(Option<i64>, Option<i64>, i64),
    Index(i64),
    Union(Vec<Step>),
    Filter(Operand, Operator, Operand),
    Has(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub fn parse(text: &str) -> Result<Self, InvalidJsonPath> {
        let mut parser = Parser { text, at: 0 };
        if parser.eat('$') {
            // The root may be named.
        }
        let steps = parser.steps(0)?;
        if parser.at < text.len() {
            return Err(parser.error("unexpected text"));
        }
        Ok(Self { steps })
    }

    /// All values that the path leads to, in order, as far as a limit.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        follow(vec![value], &self.steps)
    }

    /// The first of them.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.find(value).into_iter().next()
    }
}

fn follow<'a>(values: Vec<&'a Value>, steps: &[Step]) -> Vec<&'a Value> {
    let mut values = values;
    for step in steps {
        let mut next = Vec::new();
        for value in values {
            take(value, step, &mut next);
            next.truncate(FOUND_MAX);
        }
        values = next;
    }
    values
}

fn take<'a>(value: &'a Value, step: &Step, found: &mut Vec<&'a Value>) {
    match (step, value) {
        (Step::Field(name), value) => found.extend(value.get(name.as_str())),
        (Step::All, Value::Array(items)) => found.extend(items),
        (Step::All, Value::Object(fields)) => found.extend(fields.values()),
        (Step::Descend, value) => descend(value, found),
        (Step::Index(at), Value::Array(items)) => {
            let at = if *at < 0 { *at + items.len() as i64 } else { *at };
            found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
        }
        (Step::Slice(from, to, step), Value::Array(items)) => {
            let len = items.len() as i64;
            let clamp = |at: i64| (if at < 0 { at + len } else { at }).clamp(0, len) as usize;
            let (from, to) = (clamp(from.unwrap_or(0)), clamp(to.unwrap_or(len)));
            let step = usize::try_from(*step).unwrap_or(1).max(1);
            found.extend(items.get(from..to).into_iter().flatten().step_by(step));
        }
        (Step::Union(steps), value) => steps.iter().for_each(|step| take(value, step, found)),
        (Step::Filter(left, operator, right), Value::Array(items)) => {
            found.extend(items.iter().filter(|item| holds(item, left, *operator, right)));
        }
        (Step::Has(steps), Value::Array(items)) => {
            found.extend(items.iter().filter(|item| !follow(vec![item], steps).is_empty()));
        }
        _ => {}
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    if found.len() >= FOUND_MAX {
        return;
    }
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| descend(value, found)),
        _ => {}
    }
}

fn holds(item: &Value, left: &Operand, operator: Operator, right: &Operand) -> bool {
    let value = |operand: &Operand| match operand {
        Operand::Literal(value) => Some(value.clone()),
        Operand::Path(steps) => follow(vec![item], steps).first().map(|value| (*value).clone()),
    };
    let (Some(left), Some(right)) = (value(left), value(right)) else { return false };
    let order = match (&left, &right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let equal = order.map_or(left == right, |order| order.is_eq());
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        Operator::Less => order.is_some_and(|order| order.is_lt()),
        Operator::LessOrEqual => order.is_some_and(|order| order.is_le()),
        Operator::Greater => order.is_some_and(|order| order.is_gt()),
        Operator::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, reason: &'static str) -> InvalidJsonPath {
        InvalidJsonPath { path: self.text.to_owned(), reason, at: self.at }
    }

    fn eat(&mut self, letter: char) -> bool {
        let found = self.rest().starts_with(letter);
        if found {
            self.at += letter.len_utf8();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn steps(&mut self, depth: usize) -> Result<Vec<Step>, InvalidJsonPath> {
        let mut steps = Vec::new();
        loop {
            if self.rest().starts_with("..") {
                self.at += 2;
                steps.push(Step::Descend);
                if !self.rest().starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.eat('.') {
                // A dot alone is the object itself.
                if !self.rest().is_empty() && !self.rest().starts_with(['[', ')']) {
                    steps.push(self.name()?);
                }
            } else if self.eat('[') {
                steps.push(self.brackets(depth)?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn name(&mut self) -> Result<Step, InvalidJsonPath> {
        if self.eat('*') {
            return Ok(Step::All);
        }
        let mut name = String::new();
        let mut letters = self.rest().char_indices();
        let mut end = self.rest().len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
                '.' | '[' | ']' | ')' | '=' | '!' | '<' | '>' | ' ' | ',' | '}' => {
                    end = at;
                    break;
                }
                letter => name.push(letter),
            }
        }
        if end == 0 {
            return Err(self.error("a name is missing"));
        }
        self.at += end;
        Ok(Step::Field(name))
    }

    fn brackets(&mut self, depth: usize) -> Result<Step, InvalidJsonPath> {
        if depth > NEST_MAX {
            return Err(self.error("nested too deep"));
        }
        self.skip_blanks();
        if self.rest().starts_with("?(") {
            self.at += 2;
            let step = self.filter(depth)?;
            return if self.eat(')') && self.eat(']') {
                Ok(step)
            } else {
                Err(self.error("unclosed filter"))
            };
        }
        let mut steps = vec![self.element()?];
        loop {
            self.skip_blanks();
            if self.eat(',') {
                self.skip_blanks();
                steps.push(self.element()?);
            } else if self.eat(']') {
                break;
            } else {
                return Err(self.error("unclosed bracket"));
            }
        }
        Ok(if steps.len() == 1 { steps.remove(0) } else { Step::Union(steps) })
    }

    fn element(&mut self) -> Result<Step, InvalidJsonPath> {
        if self.eat('*') {
            return Ok(Step::All);
        }
        if self.rest().starts_with(['\'', '"']) {
            return self.quoted().map(Step::Field);
        }
        let first = self.number();
        if !self.eat(':') {
            return match first {
                Some(at) => Ok(Step::Index(at)),
                None => Err(self.error("an index is missing")),
            };
        }
        let second = self.number();
        let step = if self.eat(':') { self.number().unwrap_or(1) } else { 1 };
        Ok(Step::Slice(first, second, step))
    }

    fn number(&mut self) -> Option<i64> {
        let sign = usize::from(self.rest().starts_with('-'));
        let digits = self.rest()[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest()[..sign + digits].parse().ok()?;
        self.at += sign + digits;
        Some(number)
    }

    fn quoted(&mut self) -> Result<String, InvalidJsonPath> {
        let mut letters = self.rest().char_indices();
        let quote = letters.next().map(|(_, letter)| letter);
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
                letter if Some(letter) == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                letter => text.push(letter),
            }
        }
        Err(self.error("unclosed quote"))
    }

    fn filter(&mut self, depth: usize) -> Result<Step, InvalidJsonPath> {
        let left = self.operand(depth)?;
        self.skip_blanks();
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = operators.into_iter().find(|(text, _)| self.rest().starts_with(text));
        let Some((text, operator)) = found else {
            return match left {
                Operand::Path(steps) => Ok(Step::Has(steps)),
                Operand::Literal(_) => Err(self.error("a comparison is missing")),
            };
        };
        self.at += text.len();
        let right = self.operand(depth)?;
        self.skip_blanks();
        Ok(Step::Filter(left, operator, right))
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, InvalidJsonPath> {
        self.skip_blanks();
        if self.eat('@') {
            return self.steps(depth + 1).map(Operand::Path);
        }
        if self.rest().starts_with(['\'', '"']) {
            return self.quoted().map(|text| Operand::Literal(Value::String(text)));
        }
        let end = self.rest().find([')', '=', '!', '<', '>', ' ']).unwrap_or(self.rest().len());
        let literal = serde_json::from_str(&self.rest()[..end]).map_err(|_| self.error("not a literal"))?;
        self.at += end;
        Ok(Operand::Literal(literal))
    }
}

/// So many values are found at most: a column shows one.
const FOUND_MAX: usize = 10_000;
const NEST_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn follows_paths() {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"replicas": 3, "ports": [{"p": 80}, {"p": 443}, {"p": 8080}]},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}
        });
        for (path, expected) in [
            (".spec.replicas", json!([3])),
            (".spec.ports[0].p", json!([80])),
            (".spec.ports[-1].p", json!([8080])),
            (".spec.ports[*].p", json!([80, 443, 8080])),
            (".spec.ports[1:].p", json!([443, 8080])),
            (".spec.ports[0,2].p", json!([80, 8080])),
            (".spec['replicas']", json!([3])),
            (".metadata.labels.app\\.kubernetes\\.io/name", json!(["web"])),
            (".metadata.labels['app\\.kubernetes\\.io/name']", json!(["web"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type == 'Ready')].status", json!(["True"])),
            (".spec.ports[?(@.p>=443)].p", json!([443, 8080])),
            (".spec.ports[?(@.q)].p", json!([])),
            ("..p", json!([80, 443, 8080])),
            (".absent.x", json!([])),
        ] {
            let found = JsonPath::parse(path).unwrap().find(&object).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), expected, "{path}");
        }
        assert_eq!(JsonPath::parse(".").unwrap().first(&object), Some(&object));
        for path in ["spec", ".a[", ".a[b]", ".a[?(@.b==)]", ".a['b", "..", ".a.[x]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in "[.$@*?()\\[\\]'\"\\\\:,=<>ab0-9 é-]{0,24}") {
            if let Ok(path) = JsonPath::parse(&path) {
                let _ = path.find(&json!({"a": [{"b": 1}], "b": {"a": "x"}}));
            }
        }
    }
}
