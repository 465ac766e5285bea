//! YAML in and out, in the dialect of the Kubernetes API: YAML 1.1's words for true and false,
//! octal numbers with a leading zero, merge keys, keys of any scalar as strings.

mod flow;
mod read;
mod scalar;
mod write;

pub use read::{InvalidYaml, read};
pub use write::write;

/// The documents of a stream, cut at the lines that begin with `---`; those with comments only are left out.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    let all = std::iter::from_fn(move || {
        let text = rest?;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line.starts_with("---") {
                rest = Some(text.get(at + line.len()..).unwrap_or_default());
                return text.get(..at);
            }
            at += line.len();
        }
        rest = None;
        Some(text)
    });
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    all.filter(move |document| document.lines().any(says))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        read(text.as_bytes()).unwrap().value
    }

    #[test]
    fn cuts_streams_into_documents() {
        let text = "# first\n---\na: 1\n--- # two\n\n---\nb: |\n  x---\n---\n";
        assert_eq!(documents(text).collect::<Vec<_>>(), ["a: 1\n", "b: |\n  x---\n"]);
        assert_eq!(documents("a: 1").collect::<Vec<_>>(), ["a: 1"]);
        assert_eq!(documents("\n# nothing\n").count(), 0);
    }

    #[test]
    fn reads_what_kubectl_reads() {
        for (text, expected) in [
            ("a: 1\nb:\n- x\n- z: [1, 2.5, -3]\n", json!({"a": 1, "b": ["x", {"z": [1, 2.5, -3]}]})),
            (
                "a: yes\nb: \"yes\"\nc: off\nd: NULL\ne: ~\nf:\n",
                json!({"a": true, "b": "yes", "c": false, "d": null, "e": null, "f": null}),
            ),
            (
                "mode: 0644\nhex: 0x1F\nbig: 18446744073709551615\n",
                json!({"mode": 420, "hex": 31, "big": 18446744073709551615_u64}),
            ),
            (
                "t: 2026-01-02T03:04:05Z\nv: 1.2.3\nw: 1e3\n",
                json!({"t": "2026-01-02T03:04:05Z", "v": "1.2.3", "w": 1000.0}),
            ),
            (
                "base: &b {x: 1, z: 2}\nnew:\n  <<: *b\n  z: 3\n",
                json!({"base": {"x": 1, "z": 2}, "new": {"x": 1, "z": 3}}),
            ),
            ("1: a\ntrue: b\n", json!({"1": "a", "true": "b"})),
            ("s: |\n  one\n  two\nf: >-\n  one\n  two\n", json!({"s": "one\ntwo\n", "f": "one two"})),
            ("---\na: !!str 1\nb: !!int \"2\"\n", json!({"a": "1", "b": 2})),
            ("{\"json\": [true, null]}", json!({"json": [true, null]})),
            ("", Value::Null),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        let twice = read(b"a: 1\nb: {c: 1, c: 2}\n1: x\n1:\n  y: z\n").unwrap();
        let said = ["line 2: key \"c\" already set in map", "line 5: key 1 already set in map"];
        assert_eq!(twice.duplicates, said);
    }

    #[test]
    fn refuses_what_it_must() {
        let bomb = format!(
            "a: &a [x,x,x,x,x,x,x,x,x]\n{}",
            (0..9)
                .map(|at| {
                    let (this, last) = ((b'b' + at) as char, (b'a' + at) as char);
                    format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(","))
                })
                .collect::<String>()
        );
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(10_000), vec!["*a"; 5_000].join(","));
        let anchors: String = (0..100).map(|at| format!("{{k: &a{at} ")).collect();
        let nested = format!("{anchors}{}{}", "x".repeat(1 << 20), "}".repeat(100));
        let deep = "[".repeat(5000);
        let deep_block: String = (0..300).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
        for text in [
            "a: [",
            "a: b: c",
            "\u{1}",
            "a: *x",
            "a: .inf",
            "--- a\n--- b\n",
            &bomb,
            &long,
            &nested,
            &deep,
            &deep_block,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert!(read(b"a: \xff").is_err());
    }

    #[test]
    fn writes_as_kubectl_does() {
        let text = write(&json!({
            "a": {"b": [1, {"c": "x", "d": []}], "e": {}}, "n": null, "s": "yes", "t": "two\nlines\n",
            "num": "12", "colon": "a: b", "plain": "a-b/c", "empty": "", "hash": "#x", "f": 1.5,
            "nested": [[1, 2], []],
            "z": "2026-01-02T03:04:05Z",
        }));
        let expected = "a:\n  b:\n  - 1\n  - c: x\n    d: []\n  e: {}\ncolon: 'a: b'\nempty: \"\"\nf: 1.5\n\
                        hash: '#x'\n\"n\": null\nnested:\n- - 1\n  - 2\n- []\nnum: \"12\"\nplain: a-b/c\n\
                        s: \"yes\"\nt: |\n  two\n  lines\nz: \"2026-01-02T03:04:05Z\"\n";
        assert_eq!(text, expected);
    }

    fn trees() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\n\t\u{e9}\u{85}\u{2028}]{0,12}".prop_map(Value::from),
            "(yes|no|0x1|1_0|~|null|- a|key: v|<<|=|1e3|\\.5|2026-01-02)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ -~]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn reads_what_it_writes(tree in trees()) {
            let text = write(&tree);
            let back = read(text.as_bytes());
            proptest::prop_assert!(back.is_ok(), "{text}");
            proptest::prop_assert_eq!(&back.unwrap().value, &tree, "{}", text);
        }

        #[test]
        fn never_panics(text in "[a-c:\\-\\[\\]{}&*<!|>\"' \n#0-9.,?%@]{0,60}") {
            let _ = read(text.as_bytes());
        }
    }
}
