//! A packet's way through the hooks. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netlink::nft::{HookPoint, Verdict, dump};

use super::machine::{Effect, Met, Seen, run};
use super::ruleset::{ChainKey, Rule, Ruleset};
use super::words;
use super::{Fate, Origin, Packet, Path, Step, Whose};

/// Chains that lead to chains, at most: the kernel allows no more either.
const DEPTH_MAX: usize = 16;

/// What decides a packet's way beside the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Our tables.
    pub(crate) own_tables: Vec<String>,
    /// The host's addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Links with their numbers.
    pub(crate) links: Vec<(u32, String)>,
    /// Addresses of containers and the links that lead to them.
    pub(crate) containers: Vec<(IpAddr, String)>,
}

impl Surroundings {
    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    fn way_to(&self, address: IpAddr) -> Option<String> {
        self.containers.iter().find(|(at, _)| *at == address).map(|(_, link)| link.clone())
    }

    fn index(&self, link: Option<&String>) -> Option<u32> {
        self.links.iter().find(|(_, name)| Some(name) == link).map(|(index, _)| *index)
    }
}

/// Takes `packet` through all rules.
pub(crate) fn walk(rules: &Ruleset, around: &Surroundings, packet: &Packet) -> Path {
    let input = match &packet.origin {
        Origin::Host => None,
        Origin::Link(name) => Some(name.clone()),
    };
    let seen = Seen {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol.number(),
        indices: (around.index(input.as_ref()), None),
        input,
        output: None,
        original: None,
        local: around.is_local(packet.destination.ip()),
    };
    let (steps, doubts, hopes) = (Vec::new(), Vec::new(), Vec::new());
    let mut walker = Walker { rules, around, seen, steps, doubts, hopes, masqueraded: false };
    let fate = walker.whole(&packet.origin);
    let Walker { steps, mut doubts, hopes, .. } = walker;
    if matches!(fate, Fate::Dropped | Fate::Rejected) {
        doubts = hopes;
    }
    Path { packet: packet.clone(), steps, fate, doubts }
}

struct Walker<'a> {
    rules: &'a Ruleset,
    around: &'a Surroundings,
    seen: Seen,
    steps: Vec<Step>,
    /// Rules that may stop it.
    doubts: Vec<String>,
    /// Rules that may spare it what comes after them.
    hopes: Vec<String>,
    masqueraded: bool,
}

/// How a chain was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// By its end, or by `return`.
    End,
    Accepted,
    /// By a translation, which ends the way through all chains of this kind at the hook.
    Translated,
    Dropped,
    Rejected,
}

impl Walker<'_> {
    fn whole(&mut self, origin: &Origin) -> Fate {
        let first = match origin {
            Origin::Host => HookPoint::Output,
            Origin::Link(_) => HookPoint::Prerouting,
        };
        if let Err(fate) = self.hook(first) {
            return fate;
        }
        if self.seen.local && *origin != Origin::Host {
            return self.hook(HookPoint::Input).err().unwrap_or(Fate::Local);
        }
        if self.seen.local {
            return Fate::Local;
        }
        self.seen.output = self.around.way_to(self.seen.destination.ip());
        self.seen.indices.1 = self.around.index(self.seen.output.as_ref());
        if *origin != Origin::Host
            && let Err(fate) = self.hook(HookPoint::Forward)
        {
            return fate;
        }
        if let Err(fate) = self.hook(HookPoint::Postrouting) {
            return fate;
        }
        Fate::Forwarded { to: self.seen.destination, masqueraded: self.masqueraded }
    }

    /// All base chains at a hook; an error is the packet's end.
    fn hook(&mut self, point: HookPoint) -> Result<(), Fate> {
        let mut translated = false;
        let bases: Vec<&dump::Chain> = self.rules.at(point).collect();
        for base in bases {
            if base.kind == "nat" && translated {
                continue;
            }
            match self.base(base, name_of(point)) {
                Left::End | Left::Accepted => {}
                Left::Translated => translated = true,
                Left::Dropped => return Err(Fate::Dropped),
                Left::Rejected => return Err(Fate::Rejected),
            }
        }
        Ok(())
    }

    fn base(&mut self, base: &dump::Chain, hook: &'static str) -> Left {
        let chain: ChainKey = (base.family, base.table.clone(), base.name.clone());
        let (priority, drops) = base.hook.map_or((0, false), |hook| (hook.priority, hook.drops));
        if self.rules.rules.get(&chain).is_none_or(Vec::is_empty) && !drops {
            return Left::End; // nothing in it, nothing to say
        }
        let policy = if drops { "drop" } else { "accept" };
        let text = format!("{} chain, policy {policy}", base.kind);
        self.say(
            &chain,
            hook,
            Said { priority: Some(priority), rule: None, text, effect: "enter".to_owned(), maybe: false },
        );
        match self.chain(&chain, hook, 0) {
            Left::End if drops => {
                let text = "no rule above accepts it: the chain's policy".to_owned();
                self.say(
                    &chain,
                    hook,
                    Said { priority: None, rule: None, text, effect: "drop".to_owned(), maybe: false },
                );
                Left::Dropped
            }
            left => left,
        }
    }

    fn chain(&mut self, chain: &ChainKey, hook: &'static str, depth: usize) -> Left {
        let Some(rules) = self.rules.rules.get(chain) else { return Left::End };
        if depth > DEPTH_MAX {
            return Left::End;
        }
        for rule in rules {
            let (effect, maybe) = match run(rule, chain, self.rules, &self.seen) {
                Met::Not | Met::Maybe(Effect::None) | Met::Yes(Effect::None) => continue,
                Met::Yes(effect) => (effect, false),
                Met::Maybe(effect) => (effect, true),
            };
            self.rule(chain, hook, rule, &effect, maybe);
            if let Some(left) = self.follow(chain, hook, (&effect, maybe), depth) {
                return left;
            }
        }
        Left::End
    }

    /// What a rule's effect leads to: `None` to go on with the next rule.
    fn follow(
        &mut self,
        chain: &ChainKey,
        hook: &'static str,
        (effect, maybe): (&Effect, bool),
        depth: usize,
    ) -> Option<Left> {
        if maybe {
            let last = self.steps.last();
            let told = last.map(|s| format!("{} of {} {}: {}", s.effect, s.table, s.chain, s.text));
            match effect {
                Effect::Verdict(Verdict::Accept | Verdict::Return) => self.hopes.extend(told),
                _ => self.doubts.extend(told),
            }
            return None;
        }
        match effect {
            Effect::Verdict(Verdict::Accept) => Some(Left::Accepted),
            Effect::Verdict(Verdict::Drop) => Some(Left::Dropped),
            Effect::Verdict(Verdict::Return) => Some(Left::End),
            Effect::Verdict(Verdict::Jump(name)) => {
                let to = (chain.0, chain.1.clone(), name.clone());
                Some(self.chain(&to, hook, depth + 1)).filter(|left| *left != Left::End)
            }
            Effect::Verdict(Verdict::Goto(name)) => {
                let to = (chain.0, chain.1.clone(), name.clone());
                Some(self.chain(&to, hook, depth + 1))
            }
            Effect::Reject => Some(Left::Rejected),
            Effect::Masquerade => {
                self.masqueraded = true;
                Some(Left::Translated)
            }
            Effect::Translate(to) => self.translate(*to),
            Effect::Redirect(port) => {
                let to = port.map(|port| SocketAddr::new(self.seen.destination.ip(), port));
                self.translate(to)
            }
            Effect::Verdict(_) | Effect::Other(_) | Effect::None => None,
        }
    }

    fn translate(&mut self, to: Option<SocketAddr>) -> Option<Left> {
        let to = to?;
        self.seen.original = Some(self.seen.destination);
        self.seen.destination = to;
        self.seen.local = self.around.is_local(to.ip());
        Some(Left::Translated)
    }

    fn rule(&mut self, chain: &ChainKey, hook: &'static str, rule: &Rule, effect: &Effect, maybe: bool) {
        let said = words::rule(rule);
        let text = match &rule.comment {
            Some(comment) if self.is_own(chain) => comment.clone(),
            Some(comment) if !said.is_empty() => format!("{said} ({comment})"),
            Some(comment) => comment.clone(),
            None => said,
        };
        let said =
            Said { priority: None, rule: Some(rule.handle), text, effect: words::effect(effect), maybe };
        self.say(chain, hook, said);
    }

    fn is_own(&self, chain: &ChainKey) -> bool {
        self.around.own_tables.contains(&chain.1)
    }

    fn say(&mut self, chain: &ChainKey, hook: &'static str, said: Said) {
        let Said { priority, rule, text, effect, maybe } = said;
        let whose = if self.is_own(chain) { Whose::Strake } else { Whose::Host };
        let table = format!("{} {}", chain.0, chain.1);
        let chain = chain.2.clone();
        self.steps.push(Step { hook, whose, table, chain, priority, rule, text, effect, maybe });
    }
}

struct Said {
    priority: Option<i32>,
    rule: Option<u64>,
    text: String,
    effect: String,
    maybe: bool,
}

const fn name_of(point: HookPoint) -> &'static str {
    match point {
        HookPoint::Prerouting => "prerouting",
        HookPoint::Input => "input",
        HookPoint::Forward => "forward",
        HookPoint::Output => "output",
        HookPoint::Postrouting => "postrouting",
    }
}
