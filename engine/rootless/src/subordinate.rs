//! Ids that an administrator lends to a user: `/etc/subuid` and `/etc/subgid` (`subuid(5)`).

/// Ids of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// The ranges of the user, in the file's order. Lines name the user or give the number; what is
/// broken, empty, reaches past the last id, or is the user's own id or root's, is passed over.
pub fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (who, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() || (Some(who) != name && who != number) {
            return None;
        }
        let range = Range { first: first.parse().ok()?, count: count.parse().ok()? };
        let end = range.first.checked_add(range.count)?;
        let own = (range.first..end).contains(&uid);
        (range.count > 0 && range.first > 0 && !own).then_some(range)
    });
    let mut kept: Vec<Range> = Vec::new();
    for range in lines {
        let overlaps = |other: &Range| {
            range.first < other.first + other.count && other.first < range.first + range.count
        };
        if !kept.iter().any(overlaps) && kept.len() < RANGES_MAX {
            kept.push(range);
        }
    }
    kept
}

/// The kernel takes 340 lines (`user_namespaces(7)`); one is the user's own.
const RANGES_MAX: usize = 339;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(u32, u32)]) {
        let found: Vec<_> = ranges(text, Some("ann"), 1000).iter().map(|r| (r.first, r.count)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_are_of_a_name_or_of_a_number() {
        check("ann:100000:65536\nbob:165536:65536\n1000:300000:10\n", &[(100_000, 65_536), (300_000, 10)]);
        check("anna:100000:65536\n10000:5:5\n", &[]);
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for line in [
            "",
            "# ann:1:1",
            "ann",
            "ann:x:1",
            "ann:1",
            "ann:1:2:3",
            "ann:5:0",
            "ann:4294967295:2",
            "ann:0:5",
            "ann:900:200",
        ] {
            check(line, &[]);
        }
        check("ann:100:50\nann:120:5\nann:200:1", &[(100, 50), (200, 1)]);
    }
}
