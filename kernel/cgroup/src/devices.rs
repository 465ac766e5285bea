//! Which devices may be used: rules, their meaning, and their form for v1.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// Kinds of access, as bits: the values that the kernel gives an eBPF device program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Access(u8);

impl Access {
    /// mknod(2).
    pub const MKNOD: Self = Self(1);
    /// Opening for reading.
    pub const READ: Self = Self(2);
    /// Opening for writing.
    pub const WRITE: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// Reads `rwm` in any order; other letters count for nothing.
    pub fn parse(raw: &str) -> Self {
        raw.bytes().fold(Self(0), |access, letter| match letter {
            b'r' => access.with(Self::READ),
            b'w' => access.with(Self::WRITE),
            b'm' => access.with(Self::MKNOD),
            _ => access,
        })
    }

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (access, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if !self.and(access).is_empty() {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// A rule about some devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// Both kinds without one.
    pub kind: Option<DeviceKind>,
    /// Every major number without one.
    pub major: Option<u32>,
    /// Every minor number without one.
    pub minor: Option<u32>,
    /// Which kinds of access.
    pub access: Access,
}

impl DeviceRule {
    fn from_spec(rule: &LinuxDeviceCgroup) -> Self {
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::B => Some(DeviceKind::Block),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(DeviceKind::Char),
            LinuxDeviceType::A | LinuxDeviceType::P => None,
        };
        // -1 is `*` for those who cannot leave a number out.
        let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        let access = rule.access().as_deref().map_or(Access::ALL, Access::parse);
        Self { allow: rule.allow(), kind, major: number(rule.major()), minor: number(rule.minor()), access }
    }

    /// Whether it is about every device and every access.
    pub fn is_sweeping(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == Access::ALL
    }

    fn matches(&self, kind: DeviceKind, major: u32, minor: u32) -> bool {
        self.kind.is_none_or(|own| own == kind)
            && self.major.is_none_or(|own| own == major)
            && self.minor.is_none_or(|own| own == minor)
    }
}

impl fmt::Display for DeviceRule {
    /// As v1's files take it: `c 1:3 rwm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            None => "a",
            Some(DeviceKind::Block) => "b",
            Some(DeviceKind::Char) => "c",
        };
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

/// Rules in order: for each kind of access the last one that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePolicy {
    /// What no rule decides.
    pub allow_by_default: bool,
    /// In order, the most important one last.
    pub rules: Vec<DeviceRule>,
}

impl DevicePolicy {
    /// The rules of a container: what its spec says, then what every container may use.
    /// With no rules nothing else may be used.
    pub fn for_container(rules: &[LinuxDeviceCgroup]) -> Self {
        let mut policy = Self::default();
        for rule in rules.iter().map(DeviceRule::from_spec).chain(default_device_rules()) {
            policy.add(rule);
        }
        policy
    }

    /// Adds a rule, and drops those that it leaves without effect.
    pub fn add(&mut self, rule: DeviceRule) {
        if rule.access.is_empty() {
            return;
        }
        if rule.is_sweeping() {
            self.rules.clear();
            self.allow_by_default = rule.allow;
            return;
        }
        self.rules.retain(|earlier| {
            let same = (earlier.kind, earlier.major, earlier.minor) == (rule.kind, rule.major, rule.minor);
            !(same && earlier.access.without(rule.access).is_empty())
        });
        let needless = rule.allow == self.allow_by_default
            && self.rules.iter().all(|earlier| earlier.allow == rule.allow);
        if !needless {
            self.rules.push(rule);
        }
    }

    /// Whether all of `access` to this device is allowed.
    pub fn allows(&self, kind: DeviceKind, major: u32, minor: u32, access: Access) -> bool {
        let mut open = access;
        for rule in self.rules.iter().rev().filter(|rule| rule.matches(kind, major, minor)) {
            if rule.allow {
                open = open.without(rule.access);
            } else if !open.and(rule.access).is_empty() {
                return false;
            }
        }
        open.is_empty() || self.allow_by_default
    }

    /// What is written to v1's files, in order: file and value. A rule for both kinds that
    /// is not about everything is written for each kind, because the kernel reads `a` as
    /// everything.
    pub fn v1_writes(&self) -> Vec<(&'static str, String)> {
        let file = |allow: bool| if allow { "devices.allow" } else { "devices.deny" };
        let mut writes = vec![(file(self.allow_by_default), "a".to_owned())];
        for rule in &self.rules {
            let kinds = match rule.kind {
                Some(kind) => vec![kind],
                None => vec![DeviceKind::Block, DeviceKind::Char],
            };
            for kind in kinds {
                let rule = DeviceRule { kind: Some(kind), ..*rule };
                writes.push((file(rule.allow), rule.to_string()));
            }
        }
        writes
    }
}

/// What every container may use: making any node (using it is another matter), null, zero,
/// full, random, urandom, tty, and terminals of its own. OCI runtime-spec config-linux.md,
/// "Default Devices".
pub fn default_device_rules() -> Vec<DeviceRule> {
    let rule =
        |kind, major, minor, access| DeviceRule { allow: true, kind: Some(kind), major, minor, access };
    let mut rules = vec![
        rule(DeviceKind::Char, None, None, Access::MKNOD),
        rule(DeviceKind::Block, None, None, Access::MKNOD),
    ];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)] {
        rules.push(rule(DeviceKind::Char, Some(major), Some(minor), Access::ALL));
    }
    rules.push(rule(DeviceKind::Char, Some(136), None, Access::ALL));
    rules
}

#[cfg(test)]
mod tests;
