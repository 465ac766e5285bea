//! Objects of every kind, shaped by the schema, with whatever may stand where it should not:
//! no function may panic on them.

use kube_object::resource::GroupVersionKind;
use kube_schema::{Schema, Type, TypeId};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Choices, taken from bytes; zeros when they are used up.
struct Dice<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % sides.max(1)
    }

    fn one_of<'v, T: ?Sized>(&mut self, values: &[&'v T]) -> &'v T {
        values[self.roll(values.len())]
    }
}

const TEXTS: [&str; 24] = [
    "",
    "a",
    "A",
    "v",
    "None",
    "Always",
    "Never",
    "In",
    "Exists",
    "Localhost",
    "RollingUpdate",
    "Indexed",
    "cpu",
    "metadata.labels['x']",
    "..",
    "../a",
    "/a/b",
    "ä\u{1f980}",
    "10.0.0.1",
    "::1",
    "iqn.2020-01.a:b",
    "a\\b",
    "*/5 * * * *",
    "TZ=UTC @every 1h",
];
const NUMBERS: [i64; 8] = [0, 1, -1, 80, 65536, i64::MAX, i64::MIN, 4_294_967_297];
const AMOUNTS: [&str; 8] = ["1", "500m", "-1", "1Gi", "2Mi", "", "1e99", "x"];

/// A value of a type, or at times of another.
fn value(kind: &Type, depth: usize, dice: &mut Dice<'_>) -> Value {
    if dice.roll(40) == 39 {
        return anything(dice);
    }
    match kind {
        Type::Object(id) => object(*id, depth, dice),
        Type::Map(item) => {
            let keys = ["cpu", "memory", "a", "example.com/x", "hugepages-2Mi", "Bad Key", ""];
            let count = dice.roll(3);
            let entries = (0..count).map(|_| (dice.one_of(&keys).to_owned(), value(item, depth, dice)));
            Value::Object(entries.collect())
        }
        Type::List { item, .. } => {
            let count = dice.roll(3);
            Value::Array((0..count).map(|_| value(item, depth, dice)).collect())
        }
        Type::String { values, .. } if !values.is_empty() && dice.roll(4) > 0 => {
            Value::from(dice.one_of(values))
        }
        Type::String { .. } => Value::from(dice.one_of(&TEXTS)),
        Type::Int(_) => Value::from(NUMBERS[dice.roll(NUMBERS.len())]),
        Type::Double => json!(0.5),
        Type::Bool => Value::from(dice.roll(2) == 1),
        Type::Quantity => Value::from(dice.one_of(&AMOUNTS)),
        Type::IntOrString if dice.roll(2) == 0 => Value::from(NUMBERS[dice.roll(NUMBERS.len())]),
        Type::IntOrString => Value::from(dice.one_of(&["http", "25%", "110%", "x%", "%"])),
        Type::Time | Type::MicroTime => Value::from(dice.one_of(&["2026-01-01T00:00:00Z", "never"])),
        Type::Any => anything(dice),
    }
}

fn object(id: TypeId, depth: usize, dice: &mut Dice<'_>) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let fields = &Schema::builtin().object(id).fields;
    let mut members = Map::new();
    for field in fields {
        // Small objects nearly full, large ones half: else one branch eats all bytes.
        if dice.roll(8) < if fields.len() > 12 { 4 } else { 6 } {
            members.insert(field.name.to_owned(), value(&field.kind, depth - 1, dice));
        }
    }
    Value::Object(members)
}

fn anything(dice: &mut Dice<'_>) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(-7),
        json!(1.5),
        json!("x"),
        json!([]),
        json!([null, 1, {}]),
        json!({"": {"a": []}}),
    ];
    values[dice.roll(values.len())].clone()
}

fn all(new: &Value, old: &Value, kind: &kube_schema::Kind) {
    let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
    let _ = crate::validate_create(&gvk, new);
    let _ = crate::validate_update(&gvk, new, old);
    for subresource in &kind.subresources {
        let _ = crate::validate_status_update(&gvk, subresource.name, new, old);
    }
    let _ = crate::warnings(&gvk, new, Some(old));
    crate::exercise::all(new, old, kind);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4000), pick in any::<usize>()) {
        let kinds = Schema::builtin().kinds();
        let by_name = |name: &str| kinds.iter().find(|kind| kind.gvk.kind == name);
        // Pods and jobs have most to go wrong.
        let kind = match pick % 4 {
            0 => by_name("Pod").unwrap_or(&kinds[0]),
            1 => by_name("Job").unwrap_or(&kinds[0]),
            _ => &kinds[pick % kinds.len()],
        };
        let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
        let mut dice = Dice { bytes: bytes.iter() };
        let mut new = object(kind.object, 9, &mut dice);
        let old = object(kind.object, 9, &mut dice);
        all(&new, &old, kind);
        crate::default(&gvk, &mut new);
        let once = new.clone();
        crate::default(&gvk, &mut new);
        prop_assert_eq!(&new, &once, "filling in a second time changes {}", kind.gvk.kind);
        all(&new, &once, kind);
        crate::defaults::generate_job_selector(&mut new);
    }
}

#[test]
fn long_lists_end_early() {
    let gvk = GroupVersionKind::new("", "v1", "Pod");
    let many = |item: Value| Value::Array(vec![item; 20_000]);
    for spec in [
        json!({"containers": many(json!({}))}),
        json!({"containers": [{"env": many(json!({})), "ports": many(json!({})), "envFrom": many(json!({})),
            "volumeMounts": many(json!({})), "volumeDevices": many(json!({}))}]}),
        json!({"volumes": many(json!({})), "tolerations": many(json!({"key": ""}))}),
        json!({"topologySpreadConstraints": many(json!({"topologyKey": "a"})), "schedulingGates": many(json!({"name": "a"}))}),
    ] {
        let faults = crate::validate_create(&gvk, &json!({"metadata": {}, "spec": spec})).len();
        assert!(faults < 10_000, "{faults} faults of one object");
    }
}
