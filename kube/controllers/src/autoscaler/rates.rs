//! From what is proposed to what is done: stabilized by what was proposed before, and not faster than allowed.

use serde_json::{Value, json};

use crate::object::{at, items, number, text};
use crate::settings::AutoscalerSettings;

/// A proposal and what limits it.
pub(super) struct Question<'a> {
    pub(super) hpa: &'a Value,
    pub(super) settings: &'a AutoscalerSettings,
    pub(super) now: i64,
    pub(super) current: i64,
    pub(super) proposed: i64,
    pub(super) least: i64,
    pub(super) most: i64,
}

/// The size to have, and the words for conditions.
pub(super) struct Answer {
    pub(super) count: i64,
    pub(super) able: (&'static str, &'static str),
    pub(super) limited: (&'static str, &'static str),
}

/// Proposals and changes of size, each with its time in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Past {
    proposals: Vec<(i64, i64)>,
    up: Vec<(i64, i64)>,
    down: Vec<(i64, i64)>,
}

impl Past {
    pub(super) fn of(memory: &Value, now: i64) -> Self {
        let of = |member: &str| {
            let all = items(memory, &[member]).iter();
            let pairs = all.filter_map(|pair| Some((pair.get(0)?.as_i64()?, pair.get(1)?.as_i64()?)));
            pairs.filter(|(_, at)| now - at <= WINDOW_MAX_MILLIS).collect()
        };
        Self { proposals: of("proposals"), up: of("up"), down: of("down") }
    }

    pub(super) fn memory(&self) -> Value {
        json!({"proposals": self.proposals, "up": self.up, "down": self.down})
    }

    /// The size changed.
    pub(super) fn scaled(&mut self, from: i64, to: i64, now: i64) {
        if to > from {
            self.up.push((to - from, now));
        } else {
            self.down.push((from - to, now));
        }
    }

    pub(super) fn choose(&mut self, question: &Question<'_>) -> Answer {
        // The size that we found counts as the first proposal.
        if self.proposals.is_empty() {
            self.proposals.push((question.current, question.now));
        }
        match at(question.hpa, &["spec", "behavior"]) {
            None => self.plainly(question),
            Some(behavior) => self.by_rules(question, behavior),
        }
    }

    /// Down only to the highest proposal of the last minutes; up at most to the double.
    fn plainly(&mut self, question: &Question<'_>) -> Answer {
        let since = question.now - question.settings.downscale_stabilization_seconds.saturating_mul(1000);
        let before = self.proposals.iter().filter(|(_, at)| *at > since).map(|(count, _)| *count);
        let stable = before.chain([question.proposed]).max().unwrap_or(question.proposed);
        self.proposals.push((question.proposed, question.now));
        let able = if stable == question.proposed { READY } else { DOWN_STABILIZED };
        let fastest = (2 * question.current).max(4);
        let (count, limited) = if stable < question.least {
            (question.least, TOO_FEW)
        } else if stable > fastest.min(question.most) {
            if fastest < question.most { (fastest, UP_LIMIT) } else { (question.most, TOO_MANY) }
        } else {
            (stable, WITHIN)
        };
        Answer { count, able, limited }
    }

    fn by_rules(&mut self, question: &Question<'_>, behavior: &Value) -> Answer {
        let (up, down) = (&behavior["scaleUp"], &behavior["scaleDown"]);
        let window = |rules: &Value, default: i64| {
            question.now
                - number(rules, &["stabilizationWindowSeconds"]).unwrap_or(default).saturating_mul(1000)
        };
        let of = |since: i64| {
            let before = self.proposals.iter().filter(move |(_, at)| *at > since).map(|(count, _)| *count);
            before.chain([question.proposed])
        };
        let lowest = of(window(up, 0)).min().unwrap_or(question.proposed);
        let highest = of(window(down, question.settings.downscale_stabilization_seconds))
            .max()
            .unwrap_or(question.proposed);
        let stable = question.current.max(lowest).min(highest);
        self.proposals.push((question.proposed, question.now));
        let able = match stable == question.proposed {
            true => READY,
            false if question.proposed >= question.current => UP_STABILIZED,
            false => DOWN_STABILIZED,
        };
        let (count, limited) = if stable > question.current {
            let fastest = self.fastest_up(question, up).max(question.current);
            let most = fastest.min(question.most);
            let limit = if question.most > fastest { UP_LIMIT } else { TOO_MANY };
            if stable > most { (most, limit) } else { (stable, WITHIN) }
        } else if stable < question.current {
            let fastest = self.fastest_down(question, down).min(question.current);
            let least = fastest.max(question.least);
            let limit = if question.least < fastest { DOWN_LIMIT } else { TOO_FEW };
            if stable < least { (least, limit) } else { (stable, WITHIN) }
        } else {
            (stable, WITHIN)
        };
        Answer { count, able, limited }
    }

    /// How many were added and taken away in a policy's period.
    fn changed(&self, policy: &Value, now: i64) -> (i64, i64) {
        let since = now - number(policy, &["periodSeconds"]).unwrap_or(0).saturating_mul(1000);
        let sum = |events: &[(i64, i64)]| {
            events.iter().filter(|(_, at)| *at > since).map(|(count, _)| count).sum::<i64>()
        };
        (sum(&self.up), sum(&self.down))
    }

    fn fastest_up(&self, question: &Question<'_>, rules: &Value) -> i64 {
        let each = items(rules, &["policies"]).iter().map(|policy| {
            let (added, taken) = self.changed(policy, question.now);
            let start = question.current - added + taken;
            let value = number(policy, &["value"]).unwrap_or(0);
            match text(policy, &["type"]) {
                "Pods" => start + value,
                _ => (start as f64 * (1.0 + value as f64 / 100.0)).ceil() as i64,
            }
        });
        match text(rules, &["selectPolicy"]) {
            "Disabled" => question.current,
            "Min" => each.min().unwrap_or(question.current),
            _ => each.max().unwrap_or(question.current),
        }
    }

    fn fastest_down(&self, question: &Question<'_>, rules: &Value) -> i64 {
        let each = items(rules, &["policies"]).iter().map(|policy| {
            let (added, taken) = self.changed(policy, question.now);
            let start = question.current + taken - added;
            let value = number(policy, &["value"]).unwrap_or(0);
            match text(policy, &["type"]) {
                "Pods" => start - value,
                _ => (start as f64 * (1.0 - value as f64 / 100.0)) as i64,
            }
        });
        match text(rules, &["selectPolicy"]) {
            "Disabled" => question.current,
            // The smallest change is the one that leaves most.
            "Min" => each.max().unwrap_or(question.current),
            _ => each.min().unwrap_or(question.current),
        }
    }
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
/// The API lets neither a window nor a period be longer.
const WINDOW_MAX_MILLIS: i64 = 3_600_000;
