//! The language, from the outside.

mod expressions;
mod kubernetes;
mod random;
mod wrong;

use kube_cel::{Activation, Env, EvalError, Program, RUNTIME_BUDGET, Val};
use serde_json::{Value, json};

/// What the tables' expressions may name.
fn object() -> Value {
    json!({
        "metadata": {"name": "web", "labels": {"app": "web", "env.io/x-y": "prod"}, "namespace": "default"},
        "spec": {
            "replicas": 3, "paused": false, "ratio": 0.5, "nothing": null, "big": 9_007_199_254_740_993_i64,
            "containers": [
                {"name": "a", "image": "nginx:1", "ports": [80, 443], "cpu": "250m"},
                {"name": "b", "image": "redis:7", "ports": [], "cpu": "1"},
            ],
        },
    })
}

fn env() -> Env {
    Env::new().with_any("object").with_any("x").with_mutation().with_bind().with_extras()
}

/// The value of an expression as text: JSON, or `type(…)`, or the error's words.
fn value(text: &str) -> String {
    let (object, x) = (object(), json!(5));
    let program = match Program::compile(text, &env()) {
        Ok(program) => program,
        Err(error) => return format!("compile: {error}"),
    };
    let activation = Activation::new().with("object", &object).with("x", &x);
    let mut budget = RUNTIME_BUDGET;
    match program.evaluate(&activation, &mut budget) {
        Ok(value) => shown(&value),
        Err(error @ EvalError::Cost) => format!("cost: {error}"),
        Err(error) => format!("error: {error}"),
    }
}

fn shown(value: &Val<'_>) -> String {
    match value {
        Val::Type(name) => format!("type({name})"),
        Val::Uint(value) => format!("{value}u"),
        Val::Double(value) if value.is_nan() || value.is_infinite() => format!("{value}"),
        Val::Optional(None) => "none".to_owned(),
        Val::Optional(Some(value)) => format!("some({})", shown(value)),
        other => other.to_json().map_or_else(|| other.type_name().to_string(), |json| json.to_string()),
    }
}

/// Each line is `expression => value`; lines that begin with `#` are titles.
fn check(table: &str) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, wanted) = line.rsplit_once(" => ").expect("a line has an arrow");
        let found = value(text.trim());
        count += 1;
        if found != wanted.trim() {
            wrong.push(format!("{text}\n    wanted {wanted}\n    found  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
