//! Levels, versions, and the policy that a namespace's labels ask for.

use std::fmt;

use kube_object::field_error::FieldError;
use serde_json::Value;

use crate::read::at;

/// The newest version whose checks are known here.
const NEWEST: u32 = 36;

/// How strict a policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything goes.
    #[default]
    Privileged,
    /// No known way to break out.
    Baseline,
    /// Hardened.
    Restricted,
}

/// Whose release's checks apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The newest ones.
    #[default]
    Latest,
    /// Those of 1.x.
    Minor(u32),
}

/// A level of a version: `restricted:latest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelVersion {
    /// How strict.
    pub level: Level,
    /// By which release.
    pub version: Version,
}

/// What a namespace refuses, writes to the audit log, and warns of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What is refused.
    pub enforce: LevelVersion,
    /// What is audited.
    pub audit: LevelVersion,
    /// What is warned of.
    pub warn: LevelVersion,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            "restricted" => Self::Restricted,
            _ => return None,
        })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let plain =
            minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        plain.then(|| minor.parse().ok()).flatten().map(Self::Minor)
    }

    /// The minor release whose checks are taken.
    pub(super) fn minor(self) -> u32 {
        match self {
            Self::Latest => NEWEST,
            Self::Minor(minor) => minor.min(NEWEST),
        }
    }
}

impl Policy {
    /// Whether nothing is looked at.
    pub(super) fn is_fully_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|mode| mode.level == Level::Privileged)
    }

    /// Whether two policies do the same.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        let same = |a: LevelVersion, b: LevelVersion| {
            (a.level == Level::Privileged && b.level == Level::Privileged) || a == b
        };
        same(self.enforce, other.enforce) && same(self.audit, other.audit) && same(self.warn, other.warn)
    }

    /// The policy that labels ask for, and what is wrong with them: a wrong label is taken
    /// as the strictest for `enforce`, as nothing for the others.
    pub(super) fn of_labels(namespace: &Value, defaults: Self) -> (Self, Vec<FieldError>) {
        let (mut policy, mut errors) = (defaults, Vec::new());
        let label = |mode: &str| at(namespace, &["metadata", "labels", &label(mode)]).as_str();
        let mut level = |mode: &str, wrong: Level, into: &mut Level| {
            let text = label(mode)?;
            let parsed = Level::parse(text);
            *into = parsed.unwrap_or(wrong);
            if parsed.is_none() {
                errors.push(invalid(mode, text, "must be one of privileged, baseline, restricted"));
            }
            parsed
        };
        let enforced = level("enforce", Level::Restricted, &mut policy.enforce.level);
        level("audit", Level::Privileged, &mut policy.audit.level);
        level("warn", Level::Privileged, &mut policy.warn.level);
        for (mode, into) in [
            ("enforce-version", &mut policy.enforce.version),
            ("audit-version", &mut policy.audit.version),
            ("warn-version", &mut policy.warn.version),
        ] {
            let Some(text) = label(mode) else { continue };
            let parsed = Version::parse(text);
            *into = parsed.unwrap_or(Version::Latest);
            if parsed.is_none() {
                errors.push(invalid(mode, text, "must be \"latest\" or \"v1.x\""));
            }
        }
        if label("warn").is_none() && enforced.is_some() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label("warn-version").is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }
}

/// The label of a mode.
pub(super) fn label(mode: &str) -> String {
    format!("pod-security.kubernetes.io/{mode}")
}

fn invalid(mode: &str, text: &str, why: &str) -> FieldError {
    FieldError::invalid(format!("metadata.labels[{}]", label(mode)), text, why)
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}
