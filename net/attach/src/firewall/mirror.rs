//! Copies of the host's input chains, for packets to published ports.
//!
//! A redirected packet never meets the host's input hook, so a host that drops input on
//! a port would find it open once it is published. Every rule that such a packet would
//! have met is copied into our table and asked before the redirection. Accepting in a
//! copy ends that copy only, as accepting in one base chain does not spare the next.
//!
//! A rule that cannot be copied is passed over when it accepts (what comes after it is
//! stricter) and becomes a drop when it does anything else: the port stays closed, and a
//! warning names the rule.

use std::collections::{BTreeMap, BTreeSet};

use netlink::nft::dump::{self, RawElement};
use netlink::nft::{Element, Expr, Family, HookPoint, RawExpr, Rule, Transaction, Verdict};
use netlink::{Attributes, Error, Socket};

mod copy;
pub(super) mod legacy;

use copy::{Copied, CopiedRule};

/// Whether copied elements keep the rest of their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expirations {
    /// For the kernel.
    Kept,
    /// For a fingerprint, which must not change with time.
    LeftOut,
}

/// A rule's name in the kernel.
pub(super) type RuleKey = (Family, String, u64);

/// How often the kernel refused the copy of a rule.
pub(super) type Refusals = BTreeMap<RuleKey, u8>;

/// What is seen of the host's rules: base chains hooked at input and what they reach.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Of the packets that meet them.
    family: Family,
    bases: Vec<dump::Chain>,
    /// Base chains at forward that drop what they do not know, and do not name a bridge
    /// of ours.
    forward_drops: Vec<dump::Chain>,
    /// What legacy iptables judges beside, at input and at forward.
    pub(super) legacy: Option<(legacy::Judgement, legacy::Judgement)>,
    /// By family, table and chain, in order.
    rules: BTreeMap<(Family, String, String), Vec<dump::Rule>>,
    sets: BTreeMap<(Family, String, String), (dump::Set, Vec<RawElement>)>,
}

impl Seen {
    /// A host without rules.
    pub(super) fn nothing(family: Family) -> Self {
        let (bases, forward_drops) = (Vec::new(), Vec::new());
        let (rules, sets) = (BTreeMap::new(), BTreeMap::new());
        Self { family, bases, forward_drops, legacy: None, rules, sets }
    }

    /// Reads the host's input rules, and which of its forward chains drop what
    /// `bridges` pass on. Tables of ours have neither.
    pub(super) fn read(socket: &mut Socket, family: Family, bridges: &[&str]) -> Result<Self, Error> {
        let mut seen = Self::nothing(family);
        let mut chains = dump::chains(socket)?;
        chains.retain(|chain| chain.family == family || chain.family == Family::Inet);
        chains.retain(|chain| judges_input(chain) || drops_forwarded(chain));
        if chains.is_empty() {
            return Ok(seen);
        }
        let dormant: BTreeSet<(Family, String)> =
            dump::tables(socket)?.into_iter().filter(|t| t.dormant).map(|t| (t.family, t.name)).collect();
        chains.retain(|base| !dormant.contains(&(base.family, base.table.clone())));
        let (mut bases, forward): (Vec<_>, Vec<_>) = chains.into_iter().partition(judges_input);
        for chain in forward {
            let rules = dump::rules(socket, chain.family, &chain.table)?;
            if !bridges.iter().any(|bridge| mentions(&rules, bridge)) {
                seen.forward_drops.push(chain);
            }
        }
        bases.sort_by_key(|base| base.hook.map(|hook| hook.priority));
        let tables: BTreeSet<(Family, String)> =
            bases.iter().map(|base| (base.family, base.table.clone())).collect();
        for (family, table) in tables {
            let starts: Vec<String> = bases
                .iter()
                .filter(|base| base.family == family && base.table == table)
                .map(|base| base.name.clone())
                .collect();
            seen.read_table(socket, family, &table, starts)?;
        }
        seen.bases = bases;
        Ok(seen)
    }

    /// Follows jumps, also those in verdict maps, from `open`.
    fn read_table(
        &mut self,
        socket: &mut Socket,
        family: Family,
        table: &str,
        mut open: Vec<String>,
    ) -> Result<(), Error> {
        let mut all: BTreeMap<String, Vec<dump::Rule>> = BTreeMap::new();
        for rule in dump::rules(socket, family, table)? {
            all.entry(rule.chain.clone()).or_default().push(rule);
        }
        let mut sets: Option<Vec<dump::Set>> = None;
        while let Some(chain) = open.pop() {
            let key = (family, table.to_owned(), chain.clone());
            if self.rules.contains_key(&key) {
                continue;
            }
            let rules = all.remove(&chain).unwrap_or_default();
            for expression in rules.iter().flat_map(|rule| &rule.expressions) {
                open.extend(jump_target(expression));
                let Some(name) = set_name(expression) else { continue };
                let set_key = (family, table.to_owned(), name.clone());
                if self.sets.contains_key(&set_key) {
                    continue;
                }
                let known = match &sets {
                    Some(known) => known,
                    None => sets.insert(dump::sets(socket, family, table)?),
                };
                let Some(set) = known.iter().find(|set| set.name == name).cloned() else { continue };
                let elements = dump::elements(socket, family, table, &name)?;
                open.extend(elements.iter().filter_map(element_jump));
                self.sets.insert(set_key, (set, elements));
            }
            self.rules.insert(key, rules);
        }
        Ok(())
    }
}

/// A filtering base chain at the input hook.
fn judges_input(chain: &dump::Chain) -> bool {
    let at_input = chain.hook.is_some_and(|hook| hook.point == Some(HookPoint::Input));
    at_input && chain.kind == "filter"
}

/// A filtering base chain whose policy drops what is forwarded.
fn drops_forwarded(chain: &dump::Chain) -> bool {
    let drops = chain.hook.is_some_and(|hook| hook.point == Some(HookPoint::Forward) && hook.drops);
    drops && chain.kind == "filter"
}

fn mentions(rules: &[dump::Rule], link: &str) -> bool {
    let expressions = rules.iter().flat_map(|rule| &rule.expressions);
    expressions.map(|e| &e.data).any(|data| data.windows(link.len()).any(|part| part == link.as_bytes()))
}

fn jump_target(expression: &RawExpr) -> Option<String> {
    match Expr::understand(expression.clone()) {
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(chain),
        _ => None,
    }
}

fn element_jump(element: &RawElement) -> Option<String> {
    let (_, data) = element.iter().find(|(kind, _)| *kind == copy::ELEMENT_DATA)?;
    match Verdict::from_data(data)? {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
        _ => None,
    }
}

fn set_name(expression: &RawExpr) -> Option<String> {
    matches!(expression.name.as_str(), "lookup" | "dynset")
        .then(|| Attributes::new(&expression.data).find(1).map(|a| a.text()))?
}

/// The copies, ready to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Mirror {
    chains: Vec<ChainCopy>,
    /// What the user should know about published ports.
    pub(super) warnings: Vec<String>,
    /// What the user should know about all traffic of containers.
    pub(super) forward_warnings: Vec<String>,
    /// For `explain`: one sentence for each copied base chain.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct ChainCopy {
    index: usize,
    base: dump::Chain,
    /// Our chains by name, with their rules in order.
    chains: Vec<(String, Vec<CopiedRule>)>,
    sets: Vec<(String, RawElement, Vec<RawElement>)>,
}

impl Mirror {
    /// Copies what was seen. The kernel did not take the copies of those in `refused`.
    pub(super) fn of(seen: &Seen, refused: &Refusals) -> Self {
        let mut mirror = Self::default();
        mirror.forward_warnings.extend(seen.forward_drops.iter().map(|chain| {
            format!(
                "chain {} of table {} {} drops what is forwarded and names no bridge of ours: containers may not reach the outside; let it accept packets from and to the bridge",
                chain.name, chain.family, chain.table
            )
        }));
        mirror.close_for_legacy(seen);
        for (index, base) in seen.bases.iter().enumerate() {
            let own = |((family, table, name), rules): (&(Family, String, String), _)| {
                (*family == base.family && *table == base.table).then(|| (name.clone(), rules))
            };
            let reached: Vec<_> = reachable(seen, base);
            let mut sets = Vec::new();
            let mut usable = BTreeSet::new();
            for (key, (set, elements)) in &seen.sets {
                let Some((name, ())) = own((key, ())) else { continue };
                if let Some(attributes) = copy::set(set) {
                    let elements = elements.iter().filter_map(|e| copy::element(e, index)).collect();
                    sets.push((copied_name(index, &name), attributes, elements));
                    usable.insert(name);
                }
            }
            let mut chains = Vec::new();
            for chain in reached {
                let key = (base.family, base.table.clone(), chain.clone());
                let rules = seen.rules.get(&key).map(Vec::as_slice).unwrap_or_default();
                let mut copies = Vec::with_capacity(rules.len() + 1);
                for (position, rule) in rules.iter().enumerate() {
                    let key = (rule.family, rule.table.clone(), rule.handle);
                    let refusals = refused.get(&key).copied().unwrap_or(0);
                    let copied = copy::rule(rule, (seen.family, index), &usable, refusals);
                    mirror.warnings.extend(copied.warning(rule, position));
                    if let Copied::Rule(rule) | Copied::Closed { rule, .. } = copied {
                        copies.push(rule);
                    }
                }
                if chain == base.name && base.hook.is_some_and(|hook| hook.drops) {
                    copies.push(CopiedRule::drop("the host's policy here is drop"));
                }
                chains.push((copied_name(index, &chain), copies));
            }
            mirror.notes.push(note(index, base, &chains));
            mirror.chains.push(ChainCopy { index, base: base.clone(), chains, sets });
        }
        mirror
    }

    /// Legacy iptables cannot be copied: if it judges input, published ports are closed.
    fn close_for_legacy(&mut self, seen: &Seen) {
        let Some((input, forward)) = seen.legacy else { return };
        if !forward.accepts {
            self.forward_warnings.push(
                "legacy iptables drops what is forwarded and is not named in its rules: containers may not reach the outside; let its chain FORWARD accept packets from and to the bridge".to_owned(),
            );
        }
        if !input.has_rules && input.accepts {
            return;
        }
        self.warnings.push(
            "the host filters input with legacy iptables, whose rules cannot be applied to published ports: these are closed; move the rules to iptables-nft or nft".to_owned(),
        );
        self.notes
            .push("chain INPUT of legacy iptables cannot be copied: published ports are closed".to_owned());
        let index = seen.bases.len();
        let base = dump::Chain {
            family: seen.family,
            table: "filter".to_owned(),
            name: "legacy-INPUT".to_owned(),
            kind: "filter".to_owned(),
            hook: None,
        };
        let rule = CopiedRule::drop("legacy iptables judges input and cannot be copied");
        let chains = vec![(copied_name(index, &base.name), vec![rule])];
        self.chains.push(ChainCopy { index, base, chains, sets: Vec::new() });
    }

    /// The names of each copy's base chain and of the chain it enters.
    pub(super) fn gates(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.chains.iter().map(|c| (format!("host{}-gate", c.index), copied_name(c.index, &c.base.name)))
    }

    /// Writes the chains, still empty, and the sets.
    pub(super) fn write_chains(&self, t: &mut Transaction, expirations: Expirations) {
        for copy in &self.chains {
            for (name, _) in &copy.chains {
                t.add_chain(&netlink::nft::Chain { name, hook: None });
            }
            for (name, attributes, elements) in &copy.sets {
                t.add_set_copy(name, attributes);
                let elements: Vec<Element> =
                    elements.iter().map(|e| copy::timed(e, expirations)).map(Element::Copy).collect();
                t.add_elements(name, &elements);
            }
        }
    }

    /// Writes the rules, and says which message holds the copy of which rule.
    ///
    /// Whether a rule is allowed before routing is only asked once a base chain leads to
    /// it: with the gates written before, each chain before those it jumps to, the
    /// kernel refuses the very rule that it does not like.
    pub(super) fn write_rules(&self, t: &mut Transaction, mut located: impl FnMut(usize, &RuleKey)) {
        for (chain, rules) in self.chains.iter().flat_map(|copy| &copy.chains) {
            for rule in rules {
                if let Some(origin) = &rule.origin {
                    located(t.len(), origin);
                }
                let comment = (!rule.comment.is_empty()).then_some(rule.comment.as_str());
                let expressions = &rule.expressions;
                t.add_rule(&Rule { chain, expressions, comment, compat: rule.compat });
            }
        }
    }
}

/// The chains that `base` leads to, itself first.
fn reachable(seen: &Seen, base: &dump::Chain) -> Vec<String> {
    let mut found = vec![base.name.clone()];
    let mut at = 0;
    while let Some(chain) = found.get(at).cloned() {
        at += 1;
        let key = (base.family, base.table.clone(), chain);
        for expression in seen.rules.get(&key).into_iter().flatten().flat_map(|rule| &rule.expressions) {
            let mut targets: Vec<String> = jump_target(expression).into_iter().collect();
            if let Some(set) = set_name(expression)
                && let Some((_, elements)) = seen.sets.get(&(base.family, base.table.clone(), set))
            {
                targets.extend(elements.iter().filter_map(element_jump));
            }
            for target in targets {
                if !found.contains(&target) {
                    found.push(target);
                }
            }
        }
    }
    found
}

fn copied_name(index: usize, name: &str) -> String {
    format!("host{index}-{name}")
}

fn note(index: usize, base: &dump::Chain, chains: &[(String, Vec<CopiedRule>)]) -> String {
    let rules: usize = chains.iter().map(|(_, rules)| rules.len()).sum();
    let policy = if base.hook.is_some_and(|hook| hook.drops) { "drop" } else { "accept" };
    format!(
        "chain {} of table {} {} (policy {policy}) is copied as {}: {rules} rules",
        base.name,
        base.family,
        base.table,
        copied_name(index, &base.name)
    )
}

#[cfg(test)]
mod tests;
