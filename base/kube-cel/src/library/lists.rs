//! Functions of lists and of sets that are lists.

use std::cmp::Ordering;

use super::Result;
use crate::error::EvalError;
use crate::eval::Machine;
use crate::val::{List, Val, compare, equal};

pub(super) fn call<'a>(
    machine: &mut Machine<'a>,
    name: &str,
    list: &List<'a>,
    args: &[Val<'a>],
) -> Option<Result<'a>> {
    Some(match (name, &args[1..]) {
        ("isSorted", []) => is_sorted(list),
        ("sum", []) => sum(list),
        ("min", []) => extreme(list, Ordering::Less, "min"),
        ("max", []) => extreme(list, Ordering::Greater, "max"),
        ("indexOf", [item]) => place(machine, list.iter().enumerate(), item),
        ("lastIndexOf", [item]) => {
            let items: Vec<_> = list.iter().enumerate().collect();
            place(machine, items.into_iter().rev(), item)
        }
        ("join", []) => join(list, ""),
        ("join", [Val::Text(separator)]) => join(list, separator.as_str()),
        ("slice", [Val::Int(from), Val::Int(to)]) => slice(list, *from, *to),
        ("reverse", []) => {
            let mut items = list.clone().into_vec();
            items.reverse();
            Ok(Val::list(items))
        }
        ("flatten", []) => flatten(machine, list, 1),
        ("flatten", [Val::Int(depth)]) if *depth < 0 => Err(EvalError::text("level must be non-negative")),
        ("flatten", [Val::Int(depth)]) => flatten(machine, list, *depth),
        ("distinct", []) => distinct(machine, list),
        ("sort", []) => sorted(list, list),
        ("@sortByAssociatedKeys", [Val::List(keys)]) => sorted(list, keys),
        ("sets.contains", [Val::List(other)]) => all_in(machine, other, list).map(Val::Bool),
        ("sets.equivalent", [Val::List(other)]) => {
            all_in(machine, list, other).and_then(|one| Ok(Val::Bool(one && all_in(machine, other, list)?)))
        }
        ("sets.intersects", [Val::List(other)]) => intersect(machine, list, other),
        _ => return None,
    })
}

fn is_sorted<'a>(list: &List<'a>) -> Result<'a> {
    let mut before: Option<Val<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before
            && compare(before, &item)?.is_none_or(Ordering::is_gt)
        {
            return Ok(Val::Bool(false));
        }
        before = Some(item);
    }
    Ok(Val::Bool(true))
}

fn sum<'a>(list: &List<'a>) -> Result<'a> {
    let mut total: Option<Val<'a>> = None;
    for item in list.iter() {
        total = Some(match (total, item) {
            (None, item @ (Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Duration(_))) => item,
            (Some(Val::Int(a)), Val::Int(b)) => {
                Val::Int(a.checked_add(b).ok_or_else(|| EvalError::text("integer overflow"))?)
            }
            (Some(Val::Uint(a)), Val::Uint(b)) => {
                Val::Uint(a.checked_add(b).ok_or_else(|| EvalError::text("unsigned integer overflow"))?)
            }
            (Some(Val::Double(a)), Val::Double(b)) => Val::Double(a + b),
            (Some(Val::Duration(a)), Val::Duration(b)) => {
                Val::Duration(a.checked_add(b).ok_or_else(super::time::duration_overflow)?)
            }
            _ => return Err(EvalError::no_overload()),
        });
    }
    Ok(total.unwrap_or(Val::Int(0)))
}

fn extreme<'a>(list: &List<'a>, wanted: Ordering, name: &str) -> Result<'a> {
    let mut items = list.iter();
    let Some(mut best) = items.next() else {
        return Err(EvalError::said(format!("{name} called on empty list")));
    };
    for item in items {
        if compare(&item, &best)? == Some(wanted) {
            best = item;
        }
    }
    Ok(best)
}

fn place<'a>(
    machine: &mut Machine<'a>,
    items: impl Iterator<Item = (usize, Val<'a>)>,
    wanted: &Val<'a>,
) -> Result<'a> {
    for (at, item) in items {
        if equal(&item, wanted, &mut machine.work)? {
            return Ok(Val::Int(at as i64));
        }
    }
    Ok(Val::Int(-1))
}

fn join<'a>(list: &List<'a>, separator: &str) -> Result<'a> {
    let mut out = String::new();
    for (at, item) in list.iter().enumerate() {
        let Val::Text(text) = item else { return Err(EvalError::no_overload()) };
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(text.as_str());
        if out.len() > JOINED_MAX {
            return Err(EvalError::Cost);
        }
    }
    Ok(Val::string(out))
}

fn slice<'a>(list: &List<'a>, from: i64, to: i64) -> Result<'a> {
    let length = list.len();
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(to)) else {
        return Err(EvalError::said(format!("cannot slice({from}, {to}), negative indexes not supported")));
    };
    if start > end {
        return Err(EvalError::said(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        )));
    }
    if end > length {
        return Err(EvalError::said(format!("cannot slice({from}, {to}), list is length {length}")));
    }
    Ok(Val::list((start..end).filter_map(|at| list.get(at)).collect()))
}

fn flatten<'a>(machine: &mut Machine<'a>, list: &List<'a>, depth: i64) -> Result<'a> {
    let mut items: Vec<Val<'a>> = list.iter().collect();
    for _ in 0..depth {
        if !items.iter().any(|item| matches!(item, Val::List(_))) {
            break;
        }
        let mut flat = Vec::new();
        for item in items {
            machine.work.spend(1)?;
            match item {
                Val::List(inner) => {
                    machine.work.spend(inner.len())?;
                    flat.extend(inner.iter());
                }
                other => flat.push(other),
            }
        }
        items = flat;
    }
    Ok(Val::list(items))
}

fn distinct<'a>(machine: &mut Machine<'a>, list: &List<'a>) -> Result<'a> {
    let mut kept: Vec<Val<'a>> = Vec::new();
    'items: for item in list.iter() {
        for known in &kept {
            if equal(known, &item, &mut machine.work)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Ok(Val::list(kept))
}

fn sorted<'a>(list: &List<'a>, keys: &List<'a>) -> Result<'a> {
    let keys: Vec<Val<'a>> = keys.iter().collect();
    if let Some(first) = keys.first() {
        if compare(first, first).is_err() {
            return Err(EvalError::text("list elements must be comparable"));
        }
        if keys.iter().any(|key| key.type_name() != first.type_name()) {
            return Err(EvalError::text("list elements must have the same type"));
        }
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| compare(&keys[*a], &keys[*b]).ok().flatten().unwrap_or(Ordering::Equal));
    Ok(Val::list(order.into_iter().filter_map(|at| list.get(at)).collect()))
}

fn all_in<'a>(
    machine: &mut Machine<'a>,
    items: &List<'a>,
    list: &List<'a>,
) -> std::result::Result<bool, EvalError> {
    for item in items.iter() {
        if matches!(place(machine, list.iter().enumerate(), &item)?, Val::Int(-1)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn intersect<'a>(machine: &mut Machine<'a>, a: &List<'a>, b: &List<'a>) -> Result<'a> {
    for item in a.iter() {
        if !matches!(place(machine, b.iter().enumerate(), &item)?, Val::Int(-1)) {
            return Ok(Val::Bool(true));
        }
    }
    Ok(Val::Bool(false))
}

/// The longest text that is made.
const JOINED_MAX: usize = 16 << 20;
