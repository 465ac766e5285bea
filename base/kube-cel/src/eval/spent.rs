//! What calls cost when they are made, as upstream counts.

use crate::val::{Map, Val};

/// The cost of a call that can be told from its arguments; none if its result decides.
pub(super) fn before(function: &str, args: &[Val<'_>]) -> Option<u64> {
    let size = |at: usize| args.get(at).map_or(1, Val::size) as f64;
    let text = |factor: f64| (size(0) * factor * TRAVERSAL).ceil() as u64;
    Some(match function {
        "_==_" | "_!=_"
            if matches!(args.first(), Some(Val::Opaque(_) | Val::Check(_) | Val::Decision(_))) =>
        {
            1
        }
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => (size(0).min(size(1)) * TRAVERSAL).ceil() as u64,
        "_+_" => match args.first() {
            Some(Val::Text(_) | Val::Bytes(_)) => ((size(0) + size(1)) * TRAVERSAL).ceil() as u64,
            _ => 1,
        },
        "@in" => match args.get(1) {
            Some(Val::List(list)) => list.len() as u64,
            _ => 1,
        },
        "startsWith" | "endsWith" | "format" | "strings.quote" => text(1.0),
        "bytes" | "string" if matches!(args.first(), Some(Val::Text(_) | Val::Bytes(_))) => {
            match args.first() {
                Some(Val::Text(_)) if function == "string" => 1,
                Some(Val::Bytes(_)) if function == "bytes" => 1,
                _ => text(1.0),
            }
        }
        "matches" | "find" | "findAll" => regex(size(0), size(1)),
        "contains" => text(1.0) * (size(1) * TRAVERSAL).ceil() as u64,
        "check" => 350_000,
        "fieldSelector" | "labelSelector" => {
            let length = size(1);
            10 + (length * TRAVERSAL).ceil() as u64 + ((length * 0.5).ceil() * 50.0) as u64
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => args.first().map_or(0, traversal),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => text(1.0),
        "ip" if matches!(args.first(), Some(Val::Text(_))) => text(1.0),
        "replace" | "split" | "ip.isCanonical" => text(2.0),
        "join" => return None,
        "containsIP" | "containsCIDR" => contains(function, args),
        "validate" => match args.first() {
            Some(Val::Opaque(format)) => regex(size(1), format.regex_size() as f64),
            _ => 1,
        },
        "sets.contains" | "sets.intersects" => 1 + (size(0) * size(1)) as u64,
        "sets.equivalent" => 1 + (2.0 * size(0) * size(1)) as u64,
        "sort" | "distinct" | "@sortByAssociatedKeys" => 11 + size(0) as u64,
        _ => 1,
    })
}

/// The cost of a call that its result decides.
pub(super) fn after(result: &Val<'_>) -> u64 {
    (result.size() as f64 * 2.0 * TRAVERSAL).ceil() as u64
}

fn regex(text: f64, pattern: f64) -> u64 {
    let text = ((1.0 + text) * TRAVERSAL).ceil() as u64;
    text.saturating_mul((pattern * 0.25).ceil() as u64)
}

fn contains(function: &str, args: &[Val<'_>]) -> u64 {
    let (cidr, other) = (args.first().map_or(1, Val::size) as f64, args.get(1).map_or(1, Val::size) as f64);
    let mut cost = (2.0 * cidr * TRAVERSAL).ceil() as u64;
    if function == "containsCIDR" {
        cost += (cidr * TRAVERSAL).ceil() as u64 + 1;
    }
    if matches!(args.get(1), Some(Val::Text(_))) {
        cost += (other * TRAVERSAL).ceil() as u64;
    }
    cost
}

/// The cost of looking at all of a value.
fn traversal(value: &Val<'_>) -> u64 {
    match value {
        Val::Text(text) => (text.as_str().len() as f64 * TRAVERSAL) as u64,
        Val::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Val::List(list) => list.iter().map(|item| traversal(&item)).sum(),
        Val::Map(map) => entries(map),
        _ => 1,
    }
}

fn entries(map: &Map<'_>) -> u64 {
    map.entries().iter().map(|(key, value)| traversal(key) + traversal(value)).sum()
}

const TRAVERSAL: f64 = 0.1;
