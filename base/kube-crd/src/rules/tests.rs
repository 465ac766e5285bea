#![expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]

use serde_json::json;

use super::*;

/// A language of few words: `true`, `false`, `same` (as before), `old` (there was one),
/// `boom` (an error), `dear` (costs all), and quoted text.
#[derive(Debug)]
struct Toy(String);

struct ToyCompiler;

impl RuleCompiler for ToyCompiler {
    fn compile(&self, rule: &Rule, _schema: &Structural) -> CompiledRule {
        let program = |text: &str| -> Box<dyn RuleProgram> { Box::new(Toy(text.to_owned())) };
        CompiledRule {
            program: match rule.rule.as_str() {
                "?" => Err(InvalidRule { required: false, detail: "no such word".to_owned() }),
                text => Ok(program(text)),
            },
            message: (!rule.message_expression.is_empty()).then(|| Ok(program(&rule.message_expression))),
            uses_old_self: matches!(rule.rule.as_str(), "same" | "old"),
            cost: 1,
            message_cost: 1,
            max_cardinality: 1,
        }
    }
}

impl RuleProgram for Toy {
    fn evaluate(&self, input: &RuleInput<'_>, budget: &mut u64) -> Result<Value, RuleFailure> {
        *budget = budget.checked_sub(1).ok_or(RuleFailure::Budget)?;
        match self.0.as_str() {
            "true" => Ok(json!(true)),
            "same" => Ok(json!(input.old == Some(input.this))),
            "old" => Ok(json!(input.old.is_some())),
            "boom" => Err(RuleFailure::Other("no such key: x".to_owned())),
            "dear" => Err(RuleFailure::Budget),
            "false" => Ok(json!(false)),
            text => Ok(json!(text)),
        }
    }
}

fn check(schema: Value, value: Value, old: Option<Value>) -> Vec<String> {
    let schema = Structural::parse_root(&schema).unwrap();
    let rules = Rules::compile(&schema, &ToyCompiler).unwrap();
    let errors = rules.validate(&value, old.as_ref(), &mut OBJECT_BUDGET.clone());
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_speak_as_upstream() {
    let spec = |rule: Value| {
        json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"n": {"type": "integer"}}, "x-kubernetes-validations": [rule]}}})
    };
    let value = json!({"spec": {"n": 1}});
    for (rule, expected) in [
        (json!({"rule": "true"}), vec![]),
        (json!({"rule": "false"}), vec!["spec: Invalid value: failed rule: false"]),
        (json!({"rule": "false", "message": " no "}), vec!["spec: Invalid value: no"]),
        (json!({"rule": "false", "messageExpression": "so"}), vec!["spec: Invalid value: so"]),
        (
            json!({"rule": "false", "reason": "FieldValueForbidden", "fieldPath": ".n"}),
            vec!["spec.n: Forbidden: failed rule: false"],
        ),
        (
            json!({"rule": "false", "reason": "FieldValueRequired"}),
            vec!["spec: Required value: failed rule: false"],
        ),
        (
            json!({"rule": "boom"}),
            vec!["spec: Invalid value: \"object\": no such key: x evaluating rule: boom"],
        ),
        (json!({"rule": "?"}), vec!["spec: Invalid value: \"object\": rule compile error: no such word"]),
        (json!({"rule": "same"}), vec![]),
        (json!({"rule": "old", "optionalOldSelf": true}), vec!["spec: Invalid value: failed rule: old"]),
        (
            json!({"rule": "dear"}),
            vec![
                "spec: Invalid value: \"object\": validation failed due to running out of cost budget, no further validation rules will be run",
            ],
        ),
    ] {
        assert_eq!(check(spec(rule.clone()), value.clone(), None), expected, "{rule}");
    }
}

#[test]
fn rules_match_old_and_new_parts() {
    let rule = |rule: &str| json!({"type": "integer", "x-kubernetes-validations": [{"rule": rule}]});
    let list = |kind: &str, text: &str| {
        json!({"type": "object", "properties": {"l": {"type": "array",
        "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": rule(text)}}}}})
    };
    let new = json!({"l": [{"k": "b", "v": 2}, {"k": "a", "v": 1}]});
    let old = json!({"l": [{"k": "a", "v": 1}, {"k": "b", "v": 1}]});
    assert_eq!(
        check(list("map", "same"), new.clone(), Some(old.clone())),
        ["l[0].v: Invalid value: 2: failed rule: same"]
    );
    assert!(check(list("atomic", "same"), new.clone(), Some(old.clone())).is_empty());
    assert_eq!(
        check(list("map", "false"), new.clone(), Some(old.clone())),
        ["l[0].v: Invalid value: 2: failed rule: false"]
    );
    assert_eq!(check(list("atomic", "false"), new.clone(), Some(old)).len(), 2);
    assert!(check(list("atomic", "false"), new.clone(), Some(new)).is_empty());
}
