//! The objects that configure flow control, as the rest works with them.

use serde_json::Value;

use crate::rules::{Rule, rules};
use crate::shard::Dealer;
use crate::{EXEMPT, bootstrap};

/// A FlowSchema: who and what belongs to a level.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The name.
    pub name: String,
    /// The object's identity; empty while a mandatory one does not exist.
    pub uid: String,
    /// The priority level.
    pub level: String,
    /// The smallest number that matches decides.
    pub precedence: i64,
    /// What tells the flows of the schema apart.
    pub distinguisher: Distinguisher,
    /// Whom it matches.
    pub rules: Vec<Rule>,
}

/// What tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinguisher {
    /// Nothing: all is one flow.
    None,
    /// Who asks.
    User,
    /// In which namespace.
    Namespace,
}

/// A PriorityLevelConfiguration.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The name.
    pub name: String,
    /// The object's identity; empty while a mandatory one does not exist.
    pub uid: String,
    /// What becomes of requests that find no seat.
    pub shape: Shape,
    /// Its part of the server's seats, relative to the other levels' parts.
    pub shares: u32,
    /// How much of its seats others may use.
    pub lendable_percent: u32,
    /// How much of its seats it may use of others' besides; none is no limit.
    pub borrowing_limit_percent: Option<u32>,
}

/// What becomes of requests that find no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// There is always one.
    Exempt,
    /// They are refused.
    Reject,
    /// They wait.
    Queue(Queuing),
}

/// Where requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queuing {
    /// How many queues, and how many of them a flow has.
    pub dealer: Dealer,
    /// How many requests wait in one.
    pub length_max: usize,
}

/// All that is configured, complete: there is always an exempt and a catch-all part.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The levels.
    pub levels: Vec<Level>,
    /// The schemas, in the order of matching; each one's level is there.
    pub schemas: Vec<Schema>,
}

impl Config {
    /// From the objects. Levels that make no sense do not count, nor do schemas without a level.
    pub fn new<'a>(
        levels: impl IntoIterator<Item = &'a Value>,
        schemas: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut levels: Vec<Level> = levels.into_iter().filter_map(Level::parse).collect();
        let is_there = |schema: &Schema| levels.iter().any(|level| level.name == schema.level);
        let mut schemas: Vec<Schema> =
            schemas.into_iter().filter_map(Schema::parse).filter(is_there).collect();
        for level in bootstrap::mandatory_levels().iter().filter_map(Level::parse) {
            if levels.iter().all(|other| other.name != level.name) {
                levels.push(level);
            }
        }
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        for schema in bootstrap::mandatory_schemas().iter().filter_map(Schema::parse) {
            if schemas.iter().any(|other| other.name == schema.name) {
                continue;
            }
            let at = if schema.name == EXEMPT { 0 } else { schemas.len() };
            schemas.insert(at, schema);
        }
        Self { levels, schemas }
    }
}

impl Schema {
    /// Reads an object; none if it has no name.
    pub fn parse(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let distinguisher = match text(spec, "/distinguisherMethod/type") {
            "ByUser" => Distinguisher::User,
            "ByNamespace" => Distinguisher::Namespace,
            _ => Distinguisher::None,
        };
        Some(Self {
            name: name(object)?,
            uid: text(object, "/metadata/uid").to_owned(),
            level: level_of(object).to_owned(),
            precedence: spec.get("matchingPrecedence").and_then(Value::as_i64).unwrap_or(1000),
            distinguisher,
            rules: rules(spec),
        })
    }
}

impl Level {
    /// Reads an object; none if its parts contradict each other.
    pub fn parse(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let name = name(object)?;
        let (limited, exempt) = (member(spec, "limited"), member(spec, "exempt"));
        let (own, shape) = match (text(spec, "/type"), limited, exempt) {
            ("Limited", Some(limited), None) if name != EXEMPT => (limited, shape_of(limited)?),
            ("Exempt", None, Some(exempt)) if name == EXEMPT => (exempt, Shape::Exempt),
            _ => return None,
        };
        let shares = if shape == Shape::Exempt { 0 } else { 30 };
        let borrows = if shape == Shape::Exempt { None } else { number(own, "borrowingLimitPercent") };
        Some(Self {
            uid: text(object, "/metadata/uid").to_owned(),
            shares: number(own, "nominalConcurrencyShares").unwrap_or(shares),
            lendable_percent: number(own, "lendablePercent").unwrap_or(0).min(100),
            borrowing_limit_percent: borrows,
            name,
            shape,
        })
    }
}

/// The name of the level that a FlowSchema is for.
pub fn level_of(schema: &Value) -> &str {
    text(schema, "/spec/priorityLevelConfiguration/name")
}

fn shape_of(limited: &Value) -> Option<Shape> {
    let response = limited.get("limitResponse")?;
    match (text(response, "/type"), member(response, "queuing")) {
        ("Reject", None) => Some(Shape::Reject),
        ("Queue", Some(queuing)) => {
            let count = |name: &str, usual: u32| {
                usize::try_from(number(queuing, name).unwrap_or(usual)).unwrap_or(usize::MAX)
            };
            let dealer = Dealer::new(count("queues", 64), count("handSize", 8))?;
            Some(Shape::Queue(Queuing { dealer, length_max: count("queueLengthLimit", 50) }))
        }
        _ => None,
    }
}

fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn number(object: &Value, name: &str) -> Option<u32> {
    u32::try_from(object.get(name)?.as_u64()?).ok()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> Option<String> {
    Some(text(object, "/metadata/name")).filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(name: &str, level: &str, precedence: i64) -> Value {
        json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {
            "matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}}})
    }

    fn names(config: &Config) -> Vec<&str> {
        config.schemas.iter().map(|schema| schema.name.as_str()).collect()
    }

    #[test]
    fn nothing_is_the_mandatory_parts() {
        let config = Config::new([], []);
        assert_eq!(names(&config), ["exempt", "catch-all"]);
        let shapes: Vec<_> = config.levels.iter().map(|level| (level.name.as_str(), level.shape)).collect();
        assert_eq!(shapes, [("catch-all", Shape::Reject), ("exempt", Shape::Exempt)]);
    }

    #[test]
    fn schemas_stand_in_the_order_of_matching() {
        let level = json!({"metadata": {"name": "l"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}});
        let schemas = [
            schema("b", "l", 700),
            schema("a", "l", 700),
            schema("late", "l", 9999),
            schema("early", "l", 1),
            schema("dangling", "none", 2),
            // A level that only the server imagines is none yet.
            schema("imagined", "catch-all", 3),
        ];
        let config = Config::new([&level], &schemas);
        assert_eq!(names(&config), ["exempt", "early", "a", "b", "late", "catch-all"]);
        assert_eq!(config.schemas[2].uid, "uid-a");
    }

    #[test]
    fn reads_levels() {
        let level =
            |name: &str, spec: Value| Level::parse(&json!({"metadata": {"name": name}, "spec": spec}));
        let reject = json!({"type": "Reject"});
        let limited = level(
            "a",
            json!({"type": "Limited", "limited": {"limitResponse": reject,
            "lendablePercent": 33, "borrowingLimitPercent": 50}}),
        )
        .unwrap();
        assert_eq!((limited.shares, limited.lendable_percent), (30, 33));
        assert_eq!(limited.borrowing_limit_percent, Some(50));
        let queue = json!({"type": "Queue", "queuing": {"queues": 16, "handSize": 4, "queueLengthLimit": 7}});
        let queued = level("a", json!({"type": "Limited", "limited": {"limitResponse": queue}})).unwrap();
        let Shape::Queue(queuing) = queued.shape else { panic!("{queued:?}") };
        assert_eq!((queuing.dealer.deck(), queuing.dealer.hand(), queuing.length_max), (16, 4, 7));
        for (name, spec) in [
            ("a", json!({"type": "Limited"})),
            ("a", json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}})),
            ("a", json!({"type": "Limited", "limited": {"limitResponse": reject}, "exempt": {}})),
            // Only the one level is exempt, and always.
            ("a", json!({"type": "Exempt", "exempt": {}})),
            ("exempt", json!({"type": "Limited", "limited": {"limitResponse": reject}})),
            // A flow cannot have more queues than there are.
            (
                "a",
                json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue",
                "queuing": {"queues": 2, "handSize": 3}}}}),
            ),
        ] {
            assert_eq!(level(name, spec.clone()), None, "{spec}");
        }
    }
}
