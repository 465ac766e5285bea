//! Taints of nodes and tolerations of pods.

use serde_json::Value;

use crate::read::{items, text};

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They are not placed on the node.
    NoSchedule,
    /// They are placed elsewhere if possible.
    PreferNoSchedule,
    /// They are not placed on the node, and leave it.
    NoExecute,
}

/// A mark on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, often empty.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// What a pod does not mind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toleration {
    key: String,
    operator: Comparison,
    value: String,
    effect: Option<Effect>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Comparison {
    #[default]
    Equal,
    Exists,
    LessThan,
    GreaterThan,
}

impl Effect {
    fn read(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }

    /// Whether it keeps pods away, rather than only being a pity.
    pub fn is_hard(self) -> bool {
        self != Self::PreferNoSchedule
    }
}

impl Taint {
    /// The taints of a node's `spec`.
    pub fn read_all(spec: &Value) -> Vec<Self> {
        let read = |taint: &Value| {
            let effect = Effect::read(text(taint, "effect"))?;
            Some(Self { key: text(taint, "key").to_owned(), value: text(taint, "value").to_owned(), effect })
        };
        items(spec, "taints").iter().filter_map(read).collect()
    }
}

impl std::fmt::Display for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value.as_str() {
            "" => f.write_str(&self.key),
            value => write!(f, "{}={value}", self.key),
        }?;
        write!(f, ":{:?}", self.effect)
    }
}

impl Toleration {
    /// The tolerations of a pod's `spec`.
    pub fn read_all(spec: &Value) -> Vec<Self> {
        let read = |toleration: &Value| Self {
            key: text(toleration, "key").to_owned(),
            operator: match text(toleration, "operator") {
                "Exists" => Comparison::Exists,
                "Lt" => Comparison::LessThan,
                "Gt" => Comparison::GreaterThan,
                _ => Comparison::Equal,
            },
            value: text(toleration, "value").to_owned(),
            effect: Effect::read(text(toleration, "effect")),
        };
        items(spec, "tolerations").iter().map(read).collect()
    }

    /// Whether this is enough for the taint: an empty key with `Exists` is for all taints, no
    /// effect is for all effects.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        let numbers = || Some((taint.value.parse::<i64>().ok()?, self.value.parse::<i64>().ok()?));
        match self.operator {
            Comparison::Exists => true,
            Comparison::Equal => !self.key.is_empty() && self.value == taint.value,
            Comparison::LessThan => numbers().is_some_and(|(taint, own)| taint < own),
            Comparison::GreaterThan => numbers().is_some_and(|(taint, own)| taint > own),
        }
    }
}

/// The first of the hard taints that nothing tolerates.
pub(crate) fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    let hard = taints.iter().filter(|taint| taint.effect.is_hard());
    let mut bad = hard.filter(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)));
    bad.next()
}

/// How many of the soft taints nothing tolerates.
pub(crate) fn pities(taints: &[Taint], tolerations: &[Toleration]) -> i64 {
    let soft = taints.iter().filter(|taint| !taint.effect.is_hard());
    soft.filter(|taint| !tolerations.iter().any(|it| it.tolerates(taint))).count() as i64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_tolerates_what() {
        let taint = |value: &str| Taint {
            key: "dedicated".to_owned(),
            value: value.to_owned(),
            effect: Effect::NoSchedule,
        };
        for (toleration, value, tolerated) in [
            (json!({"key": "dedicated", "value": "db", "effect": "NoSchedule"}), "db", true),
            (json!({"key": "dedicated", "operator": "Equal", "value": "db"}), "db", true),
            (json!({"key": "dedicated", "value": "web"}), "db", false),
            (json!({"key": "dedicated", "operator": "Exists"}), "db", true),
            (json!({"operator": "Exists"}), "db", true),
            (json!({"operator": "Exists", "effect": "NoExecute"}), "db", false),
            (json!({"key": "other", "operator": "Exists"}), "db", false),
            (json!({"key": "dedicated", "operator": "Gt", "value": "5"}), "7", true),
            (json!({"key": "dedicated", "operator": "Lt", "value": "5"}), "7", false),
        ] {
            let tolerations = Toleration::read_all(&json!({"tolerations": [toleration]}));
            let taints = [taint(value)];
            assert_eq!(untolerated(&taints, &tolerations).is_none(), tolerated, "{toleration}");
        }
        let soft = Taint { effect: Effect::PreferNoSchedule, ..taint("db") };
        assert_eq!(untolerated(std::slice::from_ref(&soft), &[]), None);
        assert_eq!(pities(&[soft.clone(), taint("db")], &[]), 1);
        assert_eq!(soft.to_string(), "dedicated=db:PreferNoSchedule");
    }
}
