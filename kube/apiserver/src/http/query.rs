//! The query of a request: a list of names and values. What they mean as options is for the
//! registry to say.

use kube_object::status::Status;

use super::path;

/// Decoded names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// More pairs than any client sends; the rest is refused.
const PAIRS_MAX: usize = 1000;

impl Query {
    /// Reads what stands behind the `?`.
    pub fn parse(raw: Option<&str>) -> Result<Self, Status> {
        let invalid = |text: &str| Status::bad_request(format!("invalid query parameter {text:?}"));
        let mut pairs = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= PAIRS_MAX {
                return Err(Status::bad_request(format!("more than {PAIRS_MAX} query parameters")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text: &str| path::decode(&text.replace('+', " ")).map_err(|_| invalid(pair));
            pairs.push((read(name)?, read(value)?));
        }
        Ok(Self { pairs })
    }

    /// The first value of a name; empty values count as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(candidate, _)| candidate == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// Whether the name stands there at all.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(candidate, _)| candidate == name)
    }

    /// `true` and `1` in Go's spellings, `false` and `0`; a name without a value is true.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let found = self.pairs.iter().find(|(candidate, _)| candidate == name)?;
        Some(!matches!(found.1.as_str(), "false" | "0" | "False" | "FALSE" | "f" | "F"))
    }

    /// All of it, as the registry reads options.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values() {
        let query =
            Query::parse(Some("limit=5&labelSelector=a%3Db%2Cc&x&dryRun=All&dryRun=Other&e=&w=0&t=a+b"))
                .unwrap();
        assert_eq!((query.text("limit"), query.pairs().len()), (Some("5"), 8));
        assert_eq!(query.text("labelSelector"), Some("a=b,c"));
        assert_eq!((query.flag("x"), query.flag("w"), query.flag("none")), (Some(true), Some(false), None));
        assert_eq!(query.all("dryRun").collect::<Vec<_>>(), ["All", "Other"]);
        assert_eq!((query.text("e"), query.has("e"), query.text("t")), (None, true, Some("a b")));
        assert!(Query::parse(Some("a=%")).is_err());
        assert!(Query::parse(Some(&"a&".repeat(2000))).is_err());
        assert_eq!(Query::parse(None).unwrap(), Query::default());
    }
}
