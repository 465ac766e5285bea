//! Whatever is written: nothing panics, and everything ends.

use kube_cel::{Activation, Env, Program};
use proptest::prelude::*;
use serde_json::json;

const WORDS: &[&str] = &[
    "x",
    "self",
    "1",
    "-1",
    "2u",
    "1.5",
    "'a'",
    "b'a'",
    "true",
    "null",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    ",",
    ":",
    "?",
    "[?",
    ".?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    "in",
    "&&",
    "||",
    "!",
    "has(",
    "size(",
    ".all(a,",
    ".map(a,",
    ".filter(a,",
    ".exists(a,",
    ".transformMap(a, b,",
    ".optMap(a,",
    "a",
    "optional.of(",
    ".orValue(",
    "quantity(",
    "ip(",
    "cidr(",
    "url(",
    "semver(",
    "timestamp(",
    "duration(",
    ".matches(",
    ".split(",
    ".format([",
    ".substring(",
    ".sum()",
    ".sort()",
    ".join()",
    "Object{",
    "JSONPatch{",
    "op:",
    "type(",
    "string(",
    "int(",
    "dyn(",
    ".indexOf(",
    ".replace(",
    "'%s'",
    "'1Gi'",
    "'::1'",
    "'10.0.0.0/8'",
    " ",
];

fn run(text: &str) {
    let env =
        Env::new().with_any("x").with_type("self", kube_cel::Type::String).with_mutation().with_extras();
    let Ok(program) = Program::compile(text, &env) else { return };
    let _ = program.estimate();
    let (x, this) = (json!({"a": [1, {"b": "c"}], "d": 1.5}), json!("text"));
    let activation = Activation::new().with("x", &x).with("self", &this);
    let mut budget = 100_000;
    if let Ok(value) = program.evaluate(&activation, &mut budget) {
        let _ = value.to_json();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn words_in_any_order(words in prop::collection::vec(prop::sample::select(WORDS), 0..14)) {
        run(&words.join(" "));
        run(&words.concat());
    }

    #[test]
    fn any_text(text in ".{0,60}") {
        run(&text);
    }

    #[test]
    fn calls_with_any_arguments(
        target in prop::sample::select(&["x", "self", "'aé'", "[1, 2]", "['b', 'a']", "{'a': 1}", "dyn(1)", "optional.of(1)",
            "quantity('1')", "ip('::1')", "cidr('::/0')", "url('/')", "semver('1.2.3')", "timestamp(0)", "duration('1s')"][..]),
        name in prop::sample::select(&["size", "contains", "charAt", "substring", "indexOf", "lastIndexOf", "split", "replace",
            "slice", "flatten", "min", "max", "getHours", "containsIP", "containsCIDR", "add", "sub", "compareTo", "format", "find",
            "findAll", "validate", "join", "reverse", "distinct", "orValue", "value", "getDayOfYear", "asInteger"][..]),
        args in prop::collection::vec(prop::sample::select(&["dyn('a')", "dyn('')", "dyn('é')", "dyn(-1)", "dyn(0)",
            "dyn(9223372036854775807)", "dyn(-9223372036854775807)", "dyn([])", "dyn(['a'])", "dyn(1.5)", "dyn('%f%s')", "dyn('+99:99')"][..]), 0..3),
    ) {
        run(&format!("dyn({target}).{name}({})", args.join(", ")));
        run(&format!("{target}.{name}({})", args.join(", ")));
    }
}
