//! Sound bytes made unsound, the same in every run.

use serde_json::Value;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// A mutation of one of the seeds; some bytes may come from another.
pub fn mutation(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let seed = random.of(seeds).clone();
    match serde_json::from_slice::<Value>(&seed) {
        Ok(mut value) if random.below(4) > 0 => {
            for _ in 0..=random.below(3) {
                let places = places(&value);
                let at = random.below(places);
                change(random, &mut value, &mut { at });
            }
            value.to_string().into_bytes()
        }
        _ => other_bytes(random, seed, seeds),
    }
}

fn other_bytes(random: &mut Random, mut bytes: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(32)).min(bytes.len());
        match random.below(9) {
            0..=2 => {
                let bit = 1 << random.below(8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
            }
            // Lengths and counts, in either order of bytes.
            3 | 4 => {
                let number = *random.of(NUMBERS);
                let width = *random.of(&[1, 2, 4, 8]);
                let ordered = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let from = if ordered[0] == 0 && ordered[7] != 0 { 8 - width } else { 0 };
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip(&ordered[from..from + width])
                    .for_each(|(to, byte)| *to = *byte);
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at.min(end)..end)),
            7 => {
                let other = random.of(seeds);
                let from = random.below(other.len());
                let piece = other[from..(from + 1 + random.below(64)).min(other.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => drop(bytes.splice(at..end.max(at), random.of(WORDS).bytes())),
        }
    }
    bytes
}

fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum::<usize>(),
        Value::Object(fields) => fields.values().map(places).sum(),
        _ => 0,
    }
}

/// Changes the place that is `left` places further on.
fn change(random: &mut Random, value: &mut Value, left: &mut usize) {
    if *left == 0 {
        *left = usize::MAX;
        *value = match (random.below(6), value.take()) {
            (0, Value::Array(mut items)) if !items.is_empty() => {
                let again = random.of(&items).clone();
                items.extend([again.clone(), again]);
                Value::Array(items)
            }
            (1, Value::String(text)) => Value::String(text + random.of::<&str>(WORDS)),
            (2, Value::String(text)) => Value::String((*random.of(WORDS)).to_owned() + &text),
            (3, _) => (*random.of(NUMBERS)).into(),
            (4, _) => {
                random.of(&[Value::Null, true.into(), (-1).into(), 0.5.into(), Value::Array(vec![])]).clone()
            }
            _ => Value::String((*random.of(WORDS)).to_owned()),
        };
        return;
    }
    *left -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        if *left == usize::MAX {
            return;
        }
        change(random, child, left);
    }
}

const NUMBERS: &[u64] = &[
    0,
    1,
    3,
    4,
    15,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    u64::MAX >> 1,
    u64::MAX,
];

const WORDS: &[&str] = &[
    "",
    "/",
    "..",
    "../../etc",
    "/proc/self/exe",
    "\0",
    "\u{202e}",
    "a\nb",
    " ",
    "0",
    "-1",
    "99999999999999999999",
    "0-4294967295",
    "1.2.3.4/33",
    "::ffff:1.2.3.4/129",
    "sha256:0",
    "SCMP_ACT_NOTIFY",
    "CAP_NOPE",
    "name=systemd",
    "%s",
    "=",
    ":",
    ":::::",
    "\\040",
    "\\777",
];
