//! CBOR: every built-in kind goes in as CBOR and comes out as JSON, and the other way round; and another
//! implementation, Python's cbor2, reads and writes the same bytes.

use std::process::Command;

use kube_object::cbor::{decode, encode};
use serde_json::{Value, json};
use testkit::{TempDir, run};
use wire::objects;

use crate::forms::Form;

const FORM: Form =
    Form { media_type: "application/cbor", encode, decode: |bytes| decode(bytes).unwrap(), is_exact: true };

#[test]
fn every_kind_goes_in_and_comes_out() {
    FORM.every_kind();
}

/// Values at the borders of the encodings.
fn borders() -> Value {
    let integers: Vec<i64> = (0..63).flat_map(|bits| [1 << bits, (1 << bits) - 1, -(1 << bits)]).collect();
    let floats = [
        0.0,
        -0.0,
        0.1,
        1.0,
        1.5,
        -4.0,
        65504.0,
        65505.0,
        100_000.0,
        5.960_464_477_539_063e-8,
        2.980_232_238_769_531_3e-8,
        6.103_515_625e-5,
        6.097_555_160_522_461e-5,
        f64::from(f32::MAX),
        f64::from(f32::MIN_POSITIVE),
        f64::from(f32::MIN_POSITIVE) / 2.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        1e300,
    ];
    let texts: Vec<String> = [0, 1, 23, 24, 255, 256, 65_535, 65_536].map(|len| "x".repeat(len)).into();
    let keys: Value = texts
        .iter()
        .chain(&["ü".to_owned(), "b".to_owned(), "aa".to_owned()])
        .map(|key| (key.clone(), json!(null)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({"integers": integers, "ends": [i64::MIN, i64::MAX], "floats": floats, "texts": texts, "keys": keys,
        "others": [true, false, null, {}, [], "水"]})
}

#[test]
fn another_implementation_reads_and_writes_the_same() {
    let mut values = objects::all().unwrap();
    values.push(borders());
    let dir = TempDir::new();
    let lines: Vec<String> = values.iter().map(|value| hex(&encode(value))).collect();
    std::fs::write(dir.path().join("ours"), lines.join("\n")).unwrap();
    let mut python = Command::new("timeout");
    python.args(["60", "python3", "-c", include_str!("cbor.py")]).arg(dir.path().join("ours"));
    python.env("PYTHONPATH", testkit::kube::python_cbor()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run(&mut python);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let said: Vec<[String; 4]> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), values.len());
    for ((value, ours), [read, canonical, texts, streamed]) in values.iter().zip(&lines).zip(&said) {
        // Both through text, which serde_json reads less exactly than it writes.
        let through = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(through(read), through(&value.to_string()));
        assert_eq!(canonical, ours, "{value}");
        for theirs in [texts, streamed] {
            assert_eq!(&decode(&bytes(theirs)).unwrap(), value);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}
