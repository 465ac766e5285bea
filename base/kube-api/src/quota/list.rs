//! Amounts by resource name, and arithmetic over them: a `v1.ResourceList`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use base::Quantity;
use serde_json::{Map, Value};

/// Amounts by resource name, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceList(BTreeMap<String, Quantity>);

impl Deref for ResourceList {
    type Target = BTreeMap<String, Quantity>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ResourceList {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<const N: usize> From<[(&str, Quantity); N]> for ResourceList {
    fn from(amounts: [(&str, Quantity); N]) -> Self {
        Self(amounts.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect())
    }
}

impl FromIterator<(String, Quantity)> for ResourceList {
    fn from_iter<T: IntoIterator<Item = (String, Quantity)>>(amounts: T) -> Self {
        Self(amounts.into_iter().collect())
    }
}

impl ResourceList {
    /// Reads an object of quantities; what is no quantity is left out.
    pub fn from_value(value: Option<&Value>) -> Self {
        let members = value.and_then(Value::as_object).into_iter().flatten();
        members.filter_map(|(name, amount)| Some((name.clone(), crate::quantity::read(amount)?))).collect()
    }

    /// The object of quantities.
    pub fn to_value(&self) -> Value {
        let members = self.0.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string())));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(sum) => *sum = sum.plus(*amount),
                None => drop(self.0.insert(name.clone(), *amount)),
            }
        }
        self
    }

    /// What is left, nowhere less than nothing; has the names of both.
    #[must_use]
    pub fn minus_at_least_zero(mut self, other: &Self) -> Self {
        for (name, amount) in &other.0 {
            let left = self.0.entry(name.clone()).or_insert(Quantity::ZERO);
            *left = left.minus(*amount);
        }
        for amount in self.0.values_mut() {
            if amount.is_negative() || amount.is_zero() {
                *amount = Quantity::ZERO;
            }
        }
        self
    }

    /// The larger of both for each name.
    #[must_use]
    pub fn max(mut self, other: &Self) -> Self {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(mine) if *mine >= *amount => {}
                Some(mine) => *mine = *amount,
                None => drop(self.0.insert(name.clone(), *amount)),
            }
        }
        self
    }

    /// Only these names.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|(name, _)| wanted(name));
        kept.map(|(name, amount)| (name.clone(), *amount)).collect()
    }

    /// Only what is something.
    #[must_use]
    pub fn without_zeros(mut self) -> Self {
        self.0.retain(|_, amount| !amount.is_zero());
        self
    }

    /// The names whose amount is above what `limit` has for them.
    pub fn above(&self, limit: &Self) -> Vec<&str> {
        let above =
            |(name, amount): &(&String, &Quantity)| limit.0.get(*name).is_some_and(|most| most < *amount);
        self.0.iter().filter(above).map(|(name, _)| name.as_str()).collect()
    }

    /// The names whose amount is less than nothing.
    pub fn negative(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name.as_str()).collect()
    }
}

/// `cpu=1,pods=2`
impl fmt::Display for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, amount)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}
