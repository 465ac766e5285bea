//! Cells that many kinds share: ages, containers, labels, selectors, short lists.

use jiff::Timestamp;
use kube_object::label_selector::LabelSelector;
use kube_object::time::MicroTime;
use serde_json::Value;

use crate::quantity::{self, Quantity};
use crate::value::{is_empty, items, members, text};

/// The time from then to now as tables show it, such as `5m30s`; `<unknown>` without a then.
pub fn human_duration(then: &Value, now: Timestamp) -> String {
    match micros(then) {
        Some(then) => human_seconds(now.as_microsecond().saturating_sub(then) / 1_000_000),
        None => "<unknown>".to_owned(),
    }
}

/// Seconds in two units at most, as upstream's `duration.HumanDuration` has it.
pub fn human_seconds(seconds: i64) -> String {
    // A clock that is a little behind is no reason to show nonsense.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    if seconds < 0 {
        return "0s".to_owned();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let pair = |large: i64, unit: &str, small: i64, part: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{part}") }
    };
    if seconds < 120 {
        return format!("{seconds}s");
    }
    if minutes < 10 {
        return pair(minutes, "m", seconds % 60, "s");
    }
    if minutes < 180 {
        return format!("{minutes}m");
    }
    if hours < 8 {
        return pair(hours, "h", minutes % 60, "m");
    }
    if hours < 48 {
        return format!("{hours}h");
    }
    if hours < 24 * 8 {
        return pair(hours / 24, "d", hours % 24, "h");
    }
    if hours < 24 * 365 * 2 {
        return format!("{}d", hours / 24);
    }
    if hours < 24 * 365 * 8 {
        return pair(hours / 24 / 365, "y", (hours / 24) % 365, "d");
    }
    format!("{}y", hours / 24 / 365)
}

/// Microseconds since 1970 of a time in either of the API's forms.
pub(super) fn micros(time: &Value) -> Option<i64> {
    MicroTime::parse(text(time)).ok().map(MicroTime::unix_micros)
}

/// The cell that says how long ago the object was created.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    human_duration(&object["metadata"]["creationTimestamp"], now).into()
}

/// The cell with the object's name.
pub(super) fn name(object: &Value) -> Value {
    text(&object["metadata"]["name"]).into()
}

/// A number that is nothing where it is absent.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The text, or a stand-in for none.
pub(super) fn or(value: &Value, otherwise: &str) -> Value {
    match text(value) {
        "" => otherwise.into(),
        text => text.into(),
    }
}

/// `True`, `False` or `<unset>`.
pub(super) fn flag(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// The canonical text of a quantity; `0` where there is none, as upstream's zero value prints.
pub(super) fn quantity(value: &Value) -> String {
    quantity::read(value).unwrap_or(Quantity::ZERO).to_string()
}

/// Names and images of a pod template's containers.
pub(super) fn containers(template: &Value) -> [Value; 2] {
    let all = items(&template["spec"]["containers"]);
    ["name", "image"].map(|field| {
        let parts: Vec<_> = all.iter().map(|container| text(&container[field])).collect();
        parts.join(",").into()
    })
}

/// Labels as `a=b,c=d`, or `<none>`.
pub(super) fn labels(labels: &Value) -> Value {
    let pairs: Vec<_> = members(labels).map(|(key, value)| format!("{key}={}", text(value))).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",").into() }
}

/// A selector as text, `<none>` where it says nothing and `<error>` where it is wrong.
pub(super) fn selector(selector: &Value) -> Value {
    match selector_text(selector) {
        None => "<error>".into(),
        Some(text) if text.is_empty() => "<none>".into(),
        Some(text) => text.into(),
    }
}

/// A selector as text; none where it is wrong.
pub(super) fn selector_text(selector: &Value) -> Option<String> {
    if is_empty(selector) {
        return Some(String::new());
    }
    LabelSelector::from_value(selector).ok().map(|selector| selector.to_string())
}

/// The items that fit, and how many more there are.
pub(super) fn listed(all: &[String], max: usize, between: &str, none: &str) -> String {
    let shown = all.get(..max).unwrap_or(all).join(between);
    match all.len().checked_sub(max) {
        Some(more) if more > 0 => format!("{shown} + {more} more..."),
        _ if shown.is_empty() => none.to_owned(),
        _ => shown,
    }
}

/// The condition of a type.
pub(super) fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    items(conditions).iter().find(|condition| text(&condition["type"]) == kind)
}

/// Whether the condition of a type is true.
pub(super) fn is_true(conditions: &Value, kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|condition| text(&condition["status"]) == "True")
}
