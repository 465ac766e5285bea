//! What the rules of a schema may cost together.

use kube_object::field_error::FieldError;

/// The most that one expression may cost, by estimate.
pub(super) const EXPRESSION_COST_MAX: u64 = 10_000_000;
/// The most that all rules of a schema may cost, by estimate.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// So many of the dearest rules are named.
const NAMED_MAX: usize = 4;

/// The sum so far, and its largest parts.
#[derive(Debug, Default)]
pub(super) struct Total {
    sum: u64,
    dearest: Vec<(u64, String)>,
}

impl Total {
    pub(super) fn add(&mut self, cost: u64, path: impl FnOnce() -> String) {
        self.sum = self.sum.saturating_add(cost);
        if self.dearest.len() == NAMED_MAX && self.dearest.last().is_some_and(|(least, _)| *least >= cost) {
            return;
        }
        self.dearest.push((cost, path()));
        self.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        self.dearest.truncate(NAMED_MAX);
    }

    pub(super) fn errors(self, path: &str) -> Vec<FieldError> {
        if self.sum <= SCHEMA_COST_MAX {
            return Vec::new();
        }
        let detail =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let named = self.dearest.into_iter().map(|(_, path)| FieldError::forbidden(path, detail));
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let whole = FieldError::forbidden(path, exceeds(name, self.sum, SCHEMA_COST_MAX));
        named.chain([whole]).collect()
    }
}

/// The words for an expression that costs more than it may.
pub(super) fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_read_as_upstream() {
        for (cost, factor) in [(11, "1.100000x"), (25, "2.5x"), (5_000, "more than 100x")] {
            assert!(exceeds("c", cost, 10).contains(&format!("by factor of {factor} (try")), "{cost}");
        }
        let mut total = Total::default();
        (0..9).for_each(|at| total.add(20_000_000 + at, || format!("r{at}")));
        let errors = total.errors("schema");
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["r8", "r7", "r6", "r5", "schema"]);
    }
}
