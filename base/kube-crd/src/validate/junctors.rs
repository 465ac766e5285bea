//! `anyOf`, `oneOf`, `allOf` and `not`.

use kube_object::field_error::FieldError;
use serde_json::Value;

use super::{Old, Outcome, Validator};
use crate::schema::Structural;

impl Validator<'_> {
    pub(super) fn junctors(&mut self, value: &Value, schema: &Structural, old: Option<Old<'_>>) -> Outcome {
        let mut outcome = Outcome { errors: Vec::new(), passed: 1 };
        let checks = &schema.checks;
        if !checks.any_of.is_empty() {
            self.any_of(value, &checks.any_of, old, &mut outcome);
        }
        if !checks.one_of.is_empty() {
            self.one_of(value, &checks.one_of, old, &mut outcome);
        }
        if !checks.all_of.is_empty() {
            self.all_of(value, &checks.all_of, old, &mut outcome);
        }
        if let Some(not) = &checks.not
            && self.value(value, not, old).errors.is_empty()
        {
            outcome.errors.push(self.composite("must not validate the schema (not)"));
        }
        outcome
    }

    fn any_of(&mut self, value: &Value, any: &[Structural], old: Option<Old<'_>>, outcome: &mut Outcome) {
        let mut best: Option<Outcome> = None;
        for schema in any {
            let one = self.value(value, schema, old);
            if one.errors.is_empty() {
                outcome.add(one);
                return;
            }
            best = further(best, one);
        }
        outcome.errors.push(self.composite("must validate at least one schema (anyOf)"));
        outcome.add(best.unwrap_or_default());
    }

    fn one_of(&mut self, value: &Value, one: &[Structural], old: Option<Old<'_>>, outcome: &mut Outcome) {
        let mut best: Option<Outcome> = None;
        let mut first: Option<Outcome> = None;
        let mut valid = 0;
        for schema in one {
            let this = self.value(value, schema, old);
            if this.errors.is_empty() {
                valid += 1;
                first = first.or(Some(this));
            } else {
                best = further(best, this);
            }
        }
        let found = match valid {
            1 => return outcome.add(first.unwrap_or_default()),
            0 => "Found none valid".to_owned(),
            _ => format!("Found {valid} valid alternatives"),
        };
        let text = format!("must validate one and only one schema (oneOf). {found}");
        outcome.errors.push(self.composite(&text));
        if valid == 0 {
            outcome.add(best.unwrap_or_default());
        }
    }

    fn all_of(&mut self, value: &Value, all: &[Structural], old: Option<Old<'_>>, outcome: &mut Outcome) {
        let mut valid = 0;
        for schema in all {
            let this = self.value(value, schema, old);
            valid += usize::from(this.errors.is_empty());
            outcome.add(this);
        }
        if valid != all.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.errors.push(self.composite(&format!("must validate all the schemas (allOf){none}")));
        }
    }

    /// Such an error names no field but in its words.
    fn composite(&self, text: &str) -> FieldError {
        FieldError::invalid(self.prefix, "", format!("{:?} {text}", self.path))
    }
}

fn further(best: Option<Outcome>, this: Outcome) -> Option<Outcome> {
    match best {
        Some(best) if this.passed <= best.passed => Some(best),
        _ => Some(this),
    }
}
