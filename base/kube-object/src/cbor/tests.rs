//! Known bytes, and that nothing comes back otherwise than it went.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{InvalidCbor, decode, encode, watch_event};
use crate::json::DEPTH_MAX;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// RFC 8949, appendix A, as far as JSON has the values; texts are byte strings.
#[test]
fn known_values_have_known_bytes() {
    for (value, bytes) in [
        (json!(0), "00"),
        (json!(23), "17"),
        (json!(24), "1818"),
        (json!(1000), "1903e8"),
        (json!(1_000_000), "1a000f4240"),
        (json!(1_000_000_000_000_u64), "1b000000e8d4a51000"),
        (json!(-1), "20"),
        (json!(-1000), "3903e7"),
        (json!(i64::MIN), "3b7fffffffffffffff"),
        (json!(0.0), "f90000"),
        (json!(-0.0), "f98000"),
        (json!(1.0), "f93c00"),
        (json!(1.1), "fb3ff199999999999a"),
        (json!(1.5), "f93e00"),
        (json!(65504.0), "f97bff"),
        (json!(100_000.0), "fa47c35000"),
        (json!(3.402_823_466_385_288_6e38), "fa7f7fffff"),
        (json!(1.0e300), "fb7e37e43c8800759c"),
        (json!(5.960_464_477_539_063e-8), "f90001"),
        (json!(0.000_061_035_156_25), "f90400"),
        (json!(-4.1), "fbc010666666666666"),
        (json!(false), "f4"),
        (json!(true), "f5"),
        (json!(null), "f6"),
        (json!(""), "40"),
        (json!("ü"), "42c3bc"),
        (json!([1, [2, 3]]), "8201820203"),
        (json!({}), "a0"),
        // A shorter key is first.
        (json!({"aa": 1, "b": 2, "a": 3}), "a3 4161 03 4162 02 426161 01"),
    ] {
        let bytes = hex(&format!("d9d9f7{bytes}"));
        assert_eq!(encode(&value), bytes, "{value}");
        assert_eq!(decode(&bytes).unwrap(), value, "{value}");
    }
    let event = hex("d9d9f7 a2 4474797065 454144444544 466f626a656374 d9d9f7 a14161 01");
    assert_eq!(watch_event("ADDED", &json!({"a": 1})), event);
}

#[test]
fn other_encoders_are_read() {
    for (bytes, value) in [
        ("6161", json!("a")),
        ("7f 6161 6162 ff", json!("ab")),
        ("5f 4161 4162 ff", json!("ab")),
        ("9f 01 02 ff", json!([1, 2])),
        ("bf 6161 01 ff", json!({"a": 1})),
        ("1800", json!(0)),
        ("fa3fc00000", json!(1.5)),
        // Bytes that are to be spelled as base64, base64url and base16; an unknown tag, and a time's.
        ("d6 43fbff00", json!("+/8A")),
        ("d5 43fbff00", json!("-_8A")),
        ("d7 43fbff00", json!("fbff00")),
        ("d6 6161", json!("a")),
        ("d8ff 01", json!(1)),
        ("c0 74323032362d30312d30315430303a30303a30305a", json!("2026-01-01T00:00:00Z")),
        ("c1 1a514b67b0", json!("2013-03-21T20:04:00Z")),
        ("c1 fb41d452d9ec200000", json!("2013-03-21T20:04:00.5Z")),
        ("c1 20", json!("1969-12-31T23:59:59Z")),
        ("c1 f9bc00", json!("1969-12-31T23:59:59Z")),
        ("d9d9f7d9d9f7 01", json!(1)),
    ] {
        assert_eq!(decode(&hex(bytes)), Ok(value), "{bytes}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    use InvalidCbor::*;
    let foreign = |what, at| Foreign { what, at };
    for (bytes, error) in [
        ("", End),
        ("18", End),
        ("4261", End),
        ("5bffffffffffffffff", End),
        ("9bffffffffffffffff", End),
        ("bbffffffffffffffff", End),
        ("9f01", End),
        ("0000", Behind(1)),
        ("1c", Malformed(0)),
        ("1f", Malformed(0)),
        ("ff", Malformed(0)),
        ("f814", Malformed(0)),
        ("5f 6161 ff", Malformed(1)),
        ("5f 5f ff ff", Malformed(1)),
        ("7f 61c3 61bc ff", Utf8(1)),
        ("61ff", Utf8(0)),
        ("41ff", Utf8(0)),
        ("a1 01 01", foreign("a map key that is no string", 1)),
        ("a2 4161 01 6161 02", DuplicateKey("a".to_owned())),
        ("bf 4161 ff", Malformed(3)),
        ("1b8000000000000000", Overflow(0)),
        ("3b8000000000000000", Overflow(0)),
        ("c2 4101", foreign("a bignum", 0)),
        ("c0 6474657874", foreign("a tagged value that is no time", 0)),
        ("c0 54323032362d30312d30315430303a30303a30305a", foreign("a tagged value that is no time", 0)),
        ("c1 6474657874", foreign("a tagged value that is no time", 0)),
        ("c1 1b0000003afff44181", foreign("a tagged value that is no time", 0)),
        ("c1 fb7fefffffffffffff", foreign("a tagged value that is no time", 0)),
        ("c1 f97c00", foreign("a number that is not finite", 1)),
        ("c1 c1 01", foreign("a tagged value that is no time", 0)),
        ("f7", foreign("a simple value", 0)),
        ("f0", foreign("a simple value", 0)),
        ("f8ff", foreign("a simple value", 0)),
        ("f97c00", foreign("a number that is not finite", 0)),
        ("f97e00", foreign("a number that is not finite", 0)),
        ("fb7ff0000000000000", foreign("a number that is not finite", 0)),
    ] {
        assert_eq!(decode(&hex(bytes)), Err(error), "{bytes}");
    }
    for nested in [vec![0x81; 100_000], vec![0x9f; 100_000], [0xbf, 0x60].repeat(50_000)] {
        assert_eq!(decode(&nested), Err(TooDeep));
    }
    assert_eq!(decode(&vec![0xc6; 100_000]), Err(End));
    let many = [vec![0x9a, 0, 0x20, 0, 0], vec![0xa0; 1 << 21]].concat();
    assert!(matches!(decode(&many), Err(TooLarge(_))));
}

/// What JSON lets in goes out as CBOR, and must come back.
#[test]
fn is_as_deep_and_as_large_as_json() {
    let nested = |levels: usize| format!("{}0{}", "[{\"a\":".repeat(levels / 2), "}]".repeat(levels / 2));
    let deepest = crate::json::decode(nested(DEPTH_MAX).as_bytes()).unwrap().value;
    assert_eq!(decode(&encode(&deepest)), Ok(deepest.clone()));
    assert!(crate::json::decode(nested(DEPTH_MAX + 2).as_bytes()).is_err());
    assert_eq!(decode(&encode(&json!([deepest]))), Err(InvalidCbor::TooDeep));
    let large = json!(u64::MAX);
    assert_eq!(encode(&large), hex("d9d9f7 fa5f800000"));
    assert_eq!(decode(&encode(&large)), Ok(json!(18_446_744_073_709_551_616.0)));
    assert_eq!(encode(&json!(i64::MAX)), hex("d9d9f7 1b7fffffffffffffff"));
}

fn values() -> impl Strategy<Value = Value> {
    let floats = prop_oneof![any::<f64>(), any::<f32>().prop_map(f64::from)];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        floats.prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".{0,9}", inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_goes_comes_back(value in values()) {
        prop_assert_eq!(decode(&encode(&value)).unwrap(), value);
    }

    #[test]
    fn half_numbers_are_shortest(bits in any::<u16>()) {
        let bytes = [vec![0xd9, 0xd9, 0xf7, 0xf9], bits.to_be_bytes().to_vec()].concat();
        if let Ok(value) = decode(&bytes) {
            prop_assert_eq!(encode(&value), bytes);
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}
