//! Amounts of resources: what pods ask for and what nodes have.

use std::sync::Arc;

use base::quantity::Quantity;
use serde_json::Value;

/// An amount of each resource. CPU is in thousandths, memory and storage in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes of `ephemeral-storage`.
    pub storage: i64,
    /// Extended resources and huge pages by name, sorted.
    extended: Vec<(Arc<str>, i64)>,
}

/// A resource that a node has too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// `cpu`, `memory`, `ephemeral-storage` or an extended resource's name.
    pub resource: Arc<str>,
    /// What the pod asks for.
    pub requested: i64,
    /// What the node's pods have asked for.
    pub used: i64,
    /// What the node has.
    pub capacity: i64,
}

impl Amounts {
    /// Reads a `ResourceList`. What is no quantity counts as nothing: the API server lets none in.
    pub fn read(list: &Value) -> Self {
        let mut amounts = Self::default();
        for (name, value) in list.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let Ok(quantity) = Quantity::parse(&text) else { continue };
            match name.as_str() {
                "cpu" => amounts.cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.storage = quantity.value(),
                "pods" => {}
                other => amounts.set(other, quantity.value()),
            }
        }
        amounts
    }

    fn set(&mut self, name: &str, amount: i64) {
        match self.place(name) {
            Ok(at) => self.extended[at].1 = amount,
            Err(at) => self.extended.insert(at, (name.into(), amount)),
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.extended.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    /// How much there is of an extended resource.
    pub fn extended(&self, name: &str) -> i64 {
        self.place(name).map_or(0, |at| self.extended[at].1)
    }

    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        self.each().all(|(_, amount)| amount == 0)
    }

    /// All resources and their amounts.
    pub fn each(&self) -> impl Iterator<Item = (&str, i64)> {
        let basic = [("cpu", self.cpu), ("memory", self.memory), ("ephemeral-storage", self.storage)];
        basic.into_iter().chain(self.extended.iter().map(|(name, amount)| (&**name, *amount)))
    }

    /// Adds `other`, once.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes `other` away.
    pub fn sub(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// The larger of both, for each resource.
    pub fn raise(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.cpu = with(self.cpu, other.cpu);
        self.memory = with(self.memory, other.memory);
        self.storage = with(self.storage, other.storage);
        for (name, amount) in &other.extended {
            match self.place(name) {
                Ok(at) => self.extended[at].1 = with(self.extended[at].1, *amount),
                Err(at) => self.extended.insert(at, (Arc::clone(name), with(0, *amount))),
            }
        }
    }

    /// Puts `other`'s amounts in the place of these, where it has any.
    pub fn overlay(&mut self, other: &Self) {
        self.combine(other, |own, other| if other == 0 { own } else { other });
    }

    /// Whether `asked` fits beside `used` into these; nothing that is not asked for is looked at.
    pub fn fits(&self, used: &Self, asked: &Self) -> bool {
        let fits =
            |capacity: i64, used: i64, asked: i64| asked == 0 || used.saturating_add(asked) <= capacity;
        fits(self.cpu, used.cpu, asked.cpu)
            && fits(self.memory, used.memory, asked.memory)
            && fits(self.storage, used.storage, asked.storage)
            && asked
                .extended
                .iter()
                .all(|(name, asked)| fits(self.extended(name), used.extended(name), *asked))
    }

    /// What `asked` lacks beside `used`.
    pub fn shortages(&self, used: &Self, asked: &Self) -> Vec<Shortage> {
        let of = |amounts: &Self, name: &str| match name {
            "cpu" => amounts.cpu,
            "memory" => amounts.memory,
            "ephemeral-storage" => amounts.storage,
            name => amounts.extended(name),
        };
        let each = asked.each().filter(|(_, asked)| *asked > 0).map(|(name, requested)| Shortage {
            resource: name.into(),
            requested,
            used: of(used, name),
            capacity: of(self, name),
        });
        each.filter(|it| it.used.saturating_add(it.requested) > it.capacity).collect()
    }
}

/// How an amount of a resource is written for people.
pub fn display(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" if amount % 1000 == 0 => (amount / 1000).to_string(),
        "cpu" => format!("{amount}m"),
        "memory" | "ephemeral-storage" => bytes(amount),
        name if name.starts_with("hugepages-") => bytes(amount),
        _ => amount.to_string(),
    }
}

fn bytes(amount: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    match UNITS.iter().find(|(_, size)| amount.abs() >= *size) {
        Some((unit, size)) if amount % size == 0 => format!("{}{unit}", amount / size),
        Some((unit, size)) => format!("{:.1}{unit}", amount as f64 / *size as f64),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_adds_and_compares() {
        let node = Amounts::read(&json!({"cpu": "2", "memory": "4Gi", "pods": "110", "x.io/gpu": "2"}));
        let mut used = Amounts::read(&json!({"cpu": "1500m", "memory": "1Gi"}));
        let asked = Amounts::read(&json!({"cpu": "500m", "x.io/gpu": 2}));
        assert!(node.fits(&used, &asked));
        used.add(&asked);
        assert_eq!((used.cpu, used.extended("x.io/gpu")), (2000, 2));
        let short = node.shortages(&used, &asked);
        assert_eq!(short.iter().map(|it| &*it.resource).collect::<Vec<_>>(), ["cpu", "x.io/gpu"]);
        assert!(node.fits(&used, &Amounts::read(&json!({"memory": "3Gi"}))));
        used.sub(&asked);
        assert_eq!(used.cpu, 1500);
        // Another resource that the node does not have at all.
        assert!(!node.fits(&used, &Amounts::read(&json!({"y.io/card": 1}))));
        let mut peak = Amounts::read(&json!({"cpu": "1", "memory": "1Gi"}));
        peak.raise(&Amounts::read(&json!({"cpu": "2", "x.io/gpu": 1})));
        assert_eq!((peak.cpu, peak.memory, peak.extended("x.io/gpu")), (2000, 1 << 30, 1));
    }

    #[test]
    fn amounts_for_people() {
        for (resource, amount, text) in [
            ("cpu", 2000, "2"),
            ("cpu", 1500, "1500m"),
            ("memory", 128 << 20, "128Mi"),
            ("memory", 1_610_612_736, "1.5Gi"),
            ("memory", 100, "100"),
            ("x.io/gpu", 3, "3"),
        ] {
            assert_eq!(display(resource, amount), text);
        }
    }
}
