//! A sound body made unsound: bytes that flip, go missing or come twice; values of another type
//! in a sound tree; keys that stand twice.

use kube_object::cbor;
use serde_json::Value;

use crate::random::Random;

/// A mutation of `seed`.
pub(crate) fn mutate(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    if let Ok(value) = serde_json::from_slice::<Value>(seed)
        && random.below(3) > 0
    {
        return other_values(random, value);
    }
    if let Ok(value) = cbor::decode(seed)
        && random.below(3) > 0
        && let Ok(value) = serde_json::from_slice(&other_values(random, value))
    {
        return cbor::encode(&value);
    }
    other_bytes(random, seed.to_vec())
}

fn other_bytes(random: &mut Random, mut body: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(2) * random.below(3) {
        let at = random.below(body.len()).min(body.len());
        let end = (at + 1 + random.below(40)).min(body.len());
        match random.below(8) {
            0..=2 => {
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            3 => body.truncate(at),
            4 => drop(body.drain(at..end)),
            5 => {
                let again = body[at..end].to_vec();
                drop(body.splice(at..at, again));
            }
            6 => drop(body.splice(at..end, random.of(TOKENS).bytes())),
            _ => {
                let bad = [0xc3, 0x28, 0xff, 0xed, 0xa0, 0x80];
                drop(body.splice(at..at, bad.into_iter().take(1 + at % bad.len())));
            }
        }
    }
    body
}

/// Sound syntax, wrong content: up to three places of the tree are something else.
fn other_values(random: &mut Random, mut value: Value) -> Vec<u8> {
    let mut holes = Vec::new();
    for _ in 0..=random.below(2) * random.below(3) {
        let mut left = random.below(places(&value));
        let hole = Hole { mark: format!("@hole{}@", holes.len()), key: random.below(5) == 0 };
        dig(&mut value, &mut left, &hole);
        holes.push(hole);
    }
    let mut text = value.to_string();
    for hole in holes {
        let mark = format!("\"{}\"", hole.mark);
        let put = if hole.key { format!("\"{}\"", random.of(KEYS)) } else { (*random.of(TOKENS)).to_owned() };
        text = text.replace(&mark, &put);
    }
    text.into_bytes()
}

struct Hole {
    mark: String,
    /// An object gets one more key, instead of a value being replaced.
    key: bool,
}

fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum::<usize>(),
        Value::Object(fields) => fields.values().map(places).sum(),
        _ => 0,
    }
}

/// Marks the place that is `left` places further on.
fn dig(value: &mut Value, left: &mut usize, hole: &Hole) {
    let here = *left == 0;
    *left = left.wrapping_sub(1);
    if here {
        match value {
            Value::Object(fields) if hole.key => {
                let other = fields.values().next().cloned().unwrap_or_default();
                fields.insert(hole.mark.clone(), other);
            }
            _ => *value = Value::from(hole.mark.as_str()),
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| dig(item, left, hole)),
        Value::Object(fields) => fields.values_mut().for_each(|field| dig(field, left, hole)),
        _ => {}
    }
}

/// What stands in a sound value's place, as text of JSON, or near it.
const TOKENS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "65536",
    "1e400",
    "-1e-400",
    "2147483648",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999999",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"../..\"",
    "\"%2e%2e%2f\"",
    "\"a/b\"",
    "\"1Ei\"",
    "\"-1n\"",
    "\"9e99\"",
    "\"1e-999999999\"",
    "\"0x1p9\"",
    "\"9223372036854775808Ei\"",
    "\"999999999999999999999999999999999999999999999m\"",
    "\"110%\"",
    "\"-5%\"",
    "[]",
    "{}",
    "[null]",
    "[[[[]]]]",
    "{\"\":{}}",
    "{\"a\":1,\"a\":2}",
    "[{},{}]",
    "[{\"name\":\"main\"},{\"name\":\"main\"}]",
    "{\"$patch\":\"delete\"}",
    "{\"$patch\":\"replace\"}",
    "{\"$patch\":1}",
    "[{\"$patch\":\"replace\"}]",
    "\"*\"",
    "[\"a\",\"a\"]",
    "{\"name\":\"main\",\"name\":null}",
    "\"2006-01-02T15:04:05Z\"",
    "\"9999-99-99T99:99:99Z\"",
    "\"-292277022399-01-01T00:00:00Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"10.0.0.0/33\"",
    "\"::ffff:1.2.3.4\"",
    "\"010.000.000.001\"",
    "\"\\u202e\\ufeff\"",
    "\"(((a{99}){99}){99}\"",
    "\"{.a[?(@.b==\"",
    "\"self.all(x, x.all(y, y.all(z, z)))\"",
    "\"@yearly\"",
    "\"* * 31 2 *\"",
    "\"Etc/../../passwd\"",
    "\"-----BEGIN CERTIFICATE-----\"",
    "\"/metadata/labels/~2\"",
    "\"/-1\"",
    "\"/18446744073709551616\"",
    "\"f:\"",
    "{\"f:a\":{\".\":{}}}",
    "{\"k:{\":{}}",
    "&a [*a]",
    "!!binary x",
    "!!int 09",
    "<<",
    "? {a: b}",
];

/// Keys that mean something.
const KEYS: &[&str] = &[
    "",
    "kind",
    "apiVersion",
    "metadata",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "deletionTimestamp",
    "generateName",
    "spec",
    "status",
    "items",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "$deleteFromPrimitiveList/",
    "<<",
    "~1",
    "op",
    "from",
    "default",
    "$ref",
    "x-kubernetes-preserve-unknown-fields",
    "additionalProperties",
    "a\\u0000b",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bodies() {
        let seed = json!({"a": [1, {"b": "c"}], "d": {}}).to_string();
        let bodies = |start: u64| {
            (0..200).map(|at| mutate(&mut Random::new(start + at), seed.as_bytes())).collect::<Vec<_>>()
        };
        assert_eq!(bodies(0), bodies(0));
        let mut distinct = bodies(0);
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 150, "{}", distinct.len());
    }

    #[test]
    fn an_empty_seed_is_no_trouble() {
        for at in 0..100 {
            mutate(&mut Random::new(at), b"");
        }
    }
}
