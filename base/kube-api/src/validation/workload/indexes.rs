//! Sets of indexes as jobs write them: `0,3-5,7`.

/// Ranges, both ends inclusive, in ascending order.
pub(super) type Ranges = Vec<(u32, u32)>;

/// Reads a set of indexes below `completions`; the error is upstream's sentence.
pub(super) fn parse(text: &str, completions: i64) -> Result<Ranges, String> {
    let mut ranges = Ranges::new();
    if text.is_empty() {
        return Ok(ranges);
    }
    let mut last: Option<u32> = None;
    for part in text.split(',') {
        let limits: Vec<&str> = part.split('-').collect();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let first = limits.first().copied().unwrap_or_default();
        let start =
            number(first).map_err(|_| format!("cannot convert string to integer for index: {first:?}"))?;
        if i64::from(start) >= completions {
            return Err(format!("too large index: {first:?}"));
        }
        if last.is_some_and(|last| last >= start) {
            let last = last.unwrap_or_default();
            return Err(format!("non-increasing order, previous: {last}, current: {start}"));
        }
        let mut end = start;
        if let Some(text) = limits.get(1).copied() {
            end =
                number(text).map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
            if i64::from(end) >= completions {
                return Err(format!("too large index: {text:?}"));
            }
            if start >= end {
                return Err(format!("non-increasing order, previous: {start}, current: {end}"));
            }
        }
        last = Some(end);
        ranges.push((start, end));
    }
    Ok(ranges)
}

fn number(text: &str) -> Result<u32, ()> {
    let number: i32 = text.parse().map_err(|_| ())?;
    u32::try_from(number).map_err(|_| ())
}

/// How many indexes there are.
pub(super) fn count(ranges: &Ranges) -> i64 {
    ranges.iter().map(|(start, end)| i64::from(*end) - i64::from(*start) + 1).sum()
}

/// The first index that is in both.
pub(super) fn overlap(left: &Ranges, right: &Ranges) -> Option<u32> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        if one.1 < other.0 {
            left.next();
        } else if other.1 < one.0 {
            right.next();
        } else {
            return Some(one.0.max(other.0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sets() {
        assert_eq!(parse("0,3-5,7", 8), Ok(vec![(0, 0), (3, 5), (7, 7)]));
        assert_eq!(count(&vec![(0, 0), (3, 5)]), 4);
        assert_eq!(overlap(&vec![(0, 2), (5, 6)], &vec![(3, 3), (6, 9)]), Some(6));
        assert_eq!(overlap(&vec![(0, 2)], &vec![(3, 3)]), None);
        for (text, why) in [
            ("8", "too large index: \"8\""),
            ("x", "cannot convert string to integer for index: \"x\""),
            ("3,2", "non-increasing order, previous: 3, current: 2"),
            ("3-2", "non-increasing order, previous: 3, current: 2"),
        ] {
            assert_eq!(parse(text, 8), Err(why.to_owned()), "{text}");
        }
    }
}
