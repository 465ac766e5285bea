//! Rules of legacy iptables, which nf_tables does not see. Pure.
//!
//! They are not copied: a host that judges input with them has its published ports
//! closed and is told so. A table that judges nothing (no rules, policy accept), as
//! programs leave behind them, is none.

use sys::xtables::LegacyTable;

/// `NF_INET_LOCAL_IN`.
pub(in crate::firewall) const INPUT: usize = 1;
/// `NF_INET_FORWARD`.
pub(in crate::firewall) const FORWARD: usize = 2;
/// `struct ipt_entry`: where the offset of its target is.
const TARGET_OFFSET_AT: usize = 88;
/// `struct xt_standard_target`: where the verdict is.
const VERDICT_AT: usize = 32;
/// `-NF_ACCEPT - 1`.
const ACCEPT: i32 = -2;

/// What a hook of a table does with a packet that it is not told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::firewall) struct Judgement {
    /// The hook has rules before its policy.
    pub(in crate::firewall) has_rules: bool,
    /// The policy is accept.
    pub(in crate::firewall) accepts: bool,
}

/// Reads what `hook` does; a table that makes no sense does not accept.
pub(in crate::firewall) fn judgement(table: &LegacyTable, hook: usize) -> Judgement {
    let (entry, policy) = (table.hook_entry[hook], table.underflow[hook]);
    Judgement {
        has_rules: entry != policy,
        accepts: verdict(&table.entries, policy as usize) == Some(ACCEPT),
    }
}

fn verdict(entries: &[u8], entry: usize) -> Option<i32> {
    let offset = entries.get(entry.checked_add(TARGET_OFFSET_AT)?..)?.get(..2)?;
    let target = usize::from(u16::from_ne_bytes(offset.try_into().ok()?));
    let at = entry.checked_add(target)?.checked_add(VERDICT_AT)?;
    let verdict = entries.get(at..)?.get(..4)?;
    Some(i32::from_ne_bytes(verdict.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(policy: i32, first_rule: u32) -> LegacyTable {
        let mut entries = vec![0; 400];
        entries[200 + TARGET_OFFSET_AT] = 112;
        entries[200 + 112 + VERDICT_AT..][..4].copy_from_slice(&policy.to_ne_bytes());
        LegacyTable { hook_entry: [0, first_rule, 0, 0, 0], underflow: [0, 200, 0, 0, 0], entries }
    }

    #[test]
    fn reads_rules_and_policy() {
        for (policy, first, has_rules, accepts) in
            [(-2, 200, false, true), (-1, 200, false, false), (-2, 0, true, true)]
        {
            assert_eq!(judgement(&table(policy, first), INPUT), Judgement { has_rules, accepts });
        }
    }

    proptest! {
        #[test]
        fn foreign_tables_never_panic(entries in proptest::collection::vec(any::<u8>(), 0..300), at in any::<u32>()) {
            let table = LegacyTable { hook_entry: [at; 5], underflow: [at; 5], entries };
            let _ = judgement(&table, FORWARD);
        }
    }
}
