//! What is no expression, in upstream's words; and what is too large.

use super::{env, value};
use kube_cel::{Activation, EvalError, Program, RUNTIME_BUDGET};
use serde_json::json;

#[test]
fn issues_have_their_places() {
    let table = [
        (
            "1 + foo",
            "ERROR: <input>:1:5: undeclared reference to 'foo' (in container '')\n | 1 + foo\n | ....^",
        ),
        ("foo(1)", "ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | foo(1)\n | ...^"),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "'a'.size(1)",
            "ERROR: <input>:1:9: found no matching overload for 'size' applied to 'string.(int)'\n | 'a'.size(1)\n | ........^",
        ),
        ("1 && true", "ERROR: <input>:1:1: expected type 'bool' but found 'int'\n | 1 && true\n | ^"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "{'a': 1, 'b': 'c'}",
            "ERROR: <input>:1:15: expected type 'int' but found 'string'\n | {'a': 1, 'b': 'c'}\n | ..............^",
        ),
        (
            "5.all(i, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 5.all(i, true)\n | ^",
        ),
        (
            "true ? 1 : 'a'",
            "ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'\n | true ? 1 : 'a'\n | .....^",
        ),
        ("has(a)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(a)\n | ....^"),
        (
            "[1].map(1, 2)",
            "ERROR: <input>:1:9: argument must be a simple name\n | [1].map(1, 2)\n | ........^",
        ),
        ("namespace", "ERROR: <input>:1:1: reserved identifier: namespace\n | namespace\n | ^"),
        (
            "1 +",
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
        ),
        ("(1", "ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'\n | (1\n | ..^"),
        ("1)", "ERROR: <input>:1:2: Syntax error: extraneous input ')' expecting <EOF>\n | 1)\n | .^"),
        (
            "\n  a +\n  b",
            "ERROR: <input>:2:3: undeclared reference to 'a' (in container '')\n |   a +\n | ..^\nERROR: <input>:3:3: undeclared reference to 'b' (in container '')\n |   b\n | ..^",
        ),
        ("99999999999999999999", "ERROR: <input>:1:1: invalid int literal\n | 99999999999999999999\n | ^"),
        (
            "'a'.matches('(')",
            "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^",
        ),
        ("duration('x')", "ERROR: <input>:1:10: invalid duration argument\n | duration('x')\n | .........^"),
        (
            "timestamp('x')",
            "ERROR: <input>:1:11: invalid timestamp argument\n | timestamp('x')\n | ..........^",
        ),
        (
            "JSONPatch{nope: 1}",
            "ERROR: <input>:1:15: undefined field 'nope'\n | JSONPatch{nope: 1}\n | ..............^",
        ),
        (
            "JSONPatch{op: 1}",
            "ERROR: <input>:1:13: expected type of field 'op' is 'string' but provided type is 'int'\n | JSONPatch{op: 1}\n | ............^",
        ),
        (
            "Foo{a: 1}",
            "ERROR: <input>:1:4: undeclared reference to 'Foo' (in container '')\n | Foo{a: 1}\n | ...^",
        ),
        (
            "'世界' + 1",
            "ERROR: <input>:1:6: found no matching overload for '_+_' applied to '(string, int)'\n | '世界' + 1\n | .．．..^",
        ),
        (
            "dyn(1) == 1 && 1 == 1.0",
            "ERROR: <input>:1:18: found no matching overload for '_==_' applied to '(int, double)'\n | dyn(1) == 1 && 1 == 1.0\n | .................^",
        ),
        (
            "[1, 2].exists(i, i == 'a')",
            "ERROR: <input>:1:20: found no matching overload for '_==_' applied to '(int, string)'\n | [1, 2].exists(i, i == 'a')\n | ...................^",
        ),
        (
            "'a' == null",
            "ERROR: <input>:1:5: found no matching overload for '_==_' applied to '(string, null)'\n | 'a' == null\n | ....^",
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(value(text), format!("compile: {wanted}"), "{text}");
    }
}

#[test]
fn hostile_texts_end() {
    let deep = [
        "(".repeat(10_000),
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)),
        "!".repeat(50_000),
        format!("{}true", "!".repeat(50_001)),
        format!("1{}", "+1".repeat(20_000)),
        format!("x{}", ".a".repeat(20_000)),
        format!("x{}", "[0]".repeat(20_000)),
        format!("{}1{}", "[1].map(a, ".repeat(3_000), ")".repeat(3_000)),
        format!("{}1", "true ? 1 : ".repeat(8_000)),
        "a".repeat(200_000),
        format!("optional.of(1){}", ".optMap(a, a)".repeat(3_000)),
    ];
    for text in deep {
        let _ = Program::compile(&text, &env());
    }
    // The deepest that is let through must not overflow the stack either.
    for depth in (1..260).step_by(7) {
        for (open, close) in [("(", ")"), ("[", "]"), ("[1].map(a, ", ")"), ("-(", ")"), ("{'a': ", "}")] {
            value(&format!("{}1{}", open.repeat(depth), close.repeat(depth)));
        }
        value(&format!("optional.of(1){}", ".optMap(a, a)".repeat(depth)));
        value(&format!("[1]{}", ".map(a, {a: a})".repeat(depth)));
    }
    let wide = vec!["true"; 10_000].join(" && ");
    assert_eq!(value(&wide), "true");
}

#[test]
fn hostile_evaluations_end() {
    let range = "lists.range(1000)";
    let texts = [
        format!("{range}.all(a, {range}.all(b, {range}.all(c, a + b + c >= 0)))"),
        format!("{range}.map(a, {range}.map(b, {range}))"),
        format!("{range}.map(a, x{})", " + x".repeat(200)),
        format!("cel.bind(s, 'abcdefgh', {}s{})", "cel.bind(s, s + s, ".repeat(60), ")".repeat(60)),
        format!("cel.bind(s, [1], {}s{})", "cel.bind(s, s + s, ".repeat(60), ")".repeat(60)),
        "lists.range(100).map(i, 'a'.matches('a{' + string(i) + '}'))".to_owned(),
        format!("{range}.all(i, {range} == {range})"),
        format!("{range}.all(i, lists.range(900000).size() > 0)"),
        format!("{range}.all(i, {range}.all(j, big.charAt(0) == 'x'))").replace("big", "object.text"),
    ];
    let object = json!({"text": "x".repeat(1 << 20)});
    for text in texts {
        let program = Program::compile(&text, &env()).expect("an expression");
        let activation = Activation::new().with("x", &object).with("object", &object);
        let mut budget = RUNTIME_BUDGET;
        match program.evaluate(&activation, &mut budget) {
            Ok(_) | Err(EvalError::Cost | EvalError::NoOverload(_) | EvalError::Failed(_)) => {}
        }
    }
}
