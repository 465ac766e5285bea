//! `images` and `history`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base::Digest;
use oci_spec::Reference;
use oci_spec::image::Platform;

use super::image::{Name, REPO_DIGEST_LABEL};
use super::{Error, Image, Images};

/// One line of `images`: an image under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The image's id.
    pub id: Digest,
    /// Its repository as people write it; `None` without a name.
    pub repository: Option<String>,
    /// Its tag there.
    pub tag: Option<String>,
    /// Its digest in that repository's registry.
    pub digest: Option<Digest>,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Bytes of its files when unpacked; of its blobs when it is not.
    pub size_bytes: u64,
    /// What it runs on.
    pub platform: Platform,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One step of an image's history, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image's id at its last step.
    pub id: Option<Digest>,
    /// When the step was made.
    pub created: Option<SystemTime>,
    /// By which instruction.
    pub created_by: String,
    /// Bytes of files that it added.
    pub size_bytes: u64,
    /// A remark.
    pub comment: String,
}

/// Which images to take: docker's `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListFilter {
    /// Without a tag, or with one.
    Dangling(bool),
    /// With a label, perhaps of a certain value.
    Label(String, Option<String>),
    /// Without a label, or with another value.
    NoLabel(String, Option<String>),
    /// Whose name fits a pattern with `*` and `?`.
    Reference(String),
    /// Made before this time.
    Before(SystemTime),
    /// Made after this time.
    Since(SystemTime),
}

impl Images {
    /// All images by name, newest first. Digests alone are names only of images
    /// without a tag.
    pub fn list(&self, filters: &[ListFilter]) -> Result<Vec<Summary>, Error> {
        let mut rows: Vec<Summary> = Vec::new();
        let names = self.named()?;
        let tagged: Vec<&Digest> = names
            .iter()
            .filter(|(name, _)| matches!(name, Name::Tag(_)))
            .map(|(_, record)| &record.target.digest)
            .collect();
        for (name, record) in &names {
            if !matches!(name, Name::Tag(_)) && tagged.contains(&&record.target.digest) {
                continue;
            }
            let Some(image) = self.of_record(record, &record.name, None)? else { continue };
            let (repository, tag, digest) = match name {
                Name::Tag(reference) => {
                    let digest =
                        record.labels.get(REPO_DIGEST_LABEL).and_then(|text| Reference::parse(text).ok());
                    let digest = digest.and_then(|reference| reference.digest().cloned());
                    (Some(reference.familiar_repository()), reference.tag().map(str::to_owned), digest)
                }
                Name::Digest(reference) => {
                    (Some(reference.familiar_repository()), None, reference.digest().cloned())
                }
                Name::Nameless(_) => (None, None, None),
            };
            let row = Summary {
                id: image.id.clone(),
                repository,
                tag,
                digest,
                created: image.created(),
                size_bytes: self.size(&image)?,
                platform: image.platform(),
                labels: image.config.config.labels.clone(),
            };
            if ListFilter::take(filters, &row) {
                rows.push(row);
            }
        }
        rows.sort_by(|a, b| {
            b.created.cmp(&a.created).then_with(|| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag)))
        });
        Ok(rows)
    }

    /// How an image came to be, newest step first.
    pub fn history(&self, image: &Image) -> Result<Vec<HistoryStep>, Error> {
        let sizes = self.layer_sizes(image)?;
        let mut sizes = sizes.into_iter();
        let mut steps = Vec::with_capacity(image.config.history.len());
        for step in &image.config.history {
            steps.push(HistoryStep {
                id: None,
                created: step.created.as_deref().and_then(time),
                created_by: step.created_by.clone().unwrap_or_default(),
                size_bytes: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: step.comment.clone().unwrap_or_default(),
            });
        }
        // Layers that the history is silent about.
        steps.extend(sizes.map(|size_bytes| HistoryStep {
            id: None,
            created: image.created(),
            created_by: String::new(),
            size_bytes,
            comment: String::new(),
        }));
        if let Some(last) = steps.last_mut() {
            last.id = Some(image.id.clone());
        }
        steps.reverse();
        Ok(steps)
    }

    /// Bytes of the files of an image.
    pub fn size(&self, image: &Image) -> Result<u64, Error> {
        Ok(self.layer_sizes(image)?.iter().sum())
    }

    /// The time that a filter's `before` or `since` names by an image.
    pub fn created_of(&self, name: &str) -> Result<SystemTime, Error> {
        Ok(self.find(name, None)?.created().unwrap_or(SystemTime::UNIX_EPOCH))
    }

    fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>, Error> {
        if let Some(chain) = image.chain_id()
            && self.snapshots.contains(&chain).map_err(Error::snapshot(&image.called))?
        {
            let layers = self.snapshots.layers(&chain).map_err(Error::snapshot(&image.called))?;
            return Ok(layers.iter().map(|layer| layer.bytes).collect());
        }
        Ok(image.manifest.layers.iter().map(|layer| layer.size).collect())
    }
}

impl Image {
    /// When it was made.
    pub fn created(&self) -> Option<SystemTime> {
        self.config.created.as_deref().and_then(time)
    }
}

impl ListFilter {
    /// Reads `key=value`; `images` finds the images that `before` and `since` name.
    pub fn parse(text: &str, images: &Images, now: SystemTime) -> Result<Self, Error> {
        let wrong = |problem| Error::Filter { filter: text.to_owned(), problem };
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("write it as key=value"))?;
        let label = || match value.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (value.to_owned(), None),
        };
        Ok(match key {
            "dangling" => match value {
                "true" | "1" => Self::Dangling(true),
                "false" | "0" => Self::Dangling(false),
                _ => return Err(wrong("dangling is true or false")),
            },
            "label" => {
                let (name, value) = label();
                Self::Label(name, value)
            }
            "label!" => {
                let (name, value) = label();
                Self::NoLabel(name, value)
            }
            "reference" => Self::Reference(value.to_owned()),
            "before" => Self::Before(images.created_of(value)?),
            "since" => Self::Since(images.created_of(value)?),
            "until" => Self::Before(
                until(value, now).ok_or_else(|| wrong("until is a duration as in 24h, or a time"))?,
            ),
            _ => {
                return Err(wrong(
                    "the keys are dangling, label, label!, reference, before, since and until",
                ));
            }
        })
    }

    /// Names are alternatives, everything else must fit.
    fn take(filters: &[Self], row: &Summary) -> bool {
        let is_name = |filter: &&Self| matches!(filter, Self::Reference(_));
        let (names, others): (Vec<_>, Vec<_>) = filters.iter().partition(is_name);
        let named = names.is_empty() || names.iter().any(|filter| filter.takes(row));
        named && others.iter().all(|filter| filter.takes(row))
    }

    fn takes(&self, row: &Summary) -> bool {
        match self {
            Self::Dangling(wanted) => row.tag.is_none() == *wanted,
            Self::Label(..) | Self::NoLabel(..) => self.takes_labels(&row.labels),
            Self::Before(time) => row.created.is_none_or(|created| created < *time),
            Self::Since(time) => row.created.is_some_and(|created| created > *time),
            Self::Reference(pattern) => {
                let Some(repository) = &row.repository else { return false };
                let full = format!("{repository}:{}", row.tag.as_deref().unwrap_or_default());
                [repository.as_str(), &full].iter().any(|text| fits(pattern, text))
            }
        }
    }

    /// Whether it takes an image without regard to its names.
    pub(super) fn takes_image(&self, image: &Image) -> bool {
        match self {
            Self::Label(..) | Self::NoLabel(..) => self.takes_labels(&image.config.config.labels),
            Self::Before(time) => image.created().is_none_or(|created| created < *time),
            Self::Since(time) => image.created().is_some_and(|created| created > *time),
            Self::Dangling(_) | Self::Reference(_) => true,
        }
    }

    fn takes_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |name: &String, value: &Option<String>| {
            labels.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        match self {
            Self::Label(name, value) => has(name, value),
            Self::NoLabel(name, value) => !has(name, value),
            _ => true,
        }
    }
}

/// A shell pattern with `*` and `?`; `*` does not cross `/`, as docker's don't.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.as_str();
            let ends = text.char_indices().map(|(at, c)| (at, c == '/')).chain([(text.len(), true)]);
            for (at, is_border) in ends {
                if fits(rest, &text[at..]) {
                    return true;
                }
                if is_border {
                    return false;
                }
            }
            false
        }
        Some(c) => {
            let mut rest = text.chars();
            let matched = rest.next().is_some_and(|found| found == c || (c == '?' && found != '/'));
            matched && fits(pattern.as_str(), rest.as_str())
        }
    }
}

/// RFC 3339.
fn time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// `24h`, `10m`, `1h30m`, RFC 3339 or seconds since 1970.
fn until(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(time) = time(text) {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(count.checked_mul(seconds)?))?;
        rest = &rest[unit..];
    }
    now.checked_sub(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, taken) in [
            ("nginx", "nginx", true),
            ("ngin?", "nginx", true),
            ("n*", "nginx", true),
            ("*:latest", "nginx:latest", true),
            ("q.io/*", "q.io/a/b", false),
            ("q.io/*/*", "q.io/a/b", true),
            ("*", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, text), taken, "{pattern} {text}");
        }
    }

    #[test]
    fn until_reads_durations_and_times() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (text, time) in [
            ("1h", at(96_400)),
            ("1h30m", at(94_600)),
            ("60", at(60)),
            ("1970-01-01T00:01:00Z", at(60)),
            ("x", None),
            ("1y", None),
        ] {
            assert_eq!(until(text, now), time, "{text}");
        }
    }
}
