//! Names of time zones, as the IANA database has them: zones and links, without `Factory`.
//!
//! The list is that of a system's zoneinfo folder; a new release of the database may add names.

/// One name a line, sorted by bytes.
const NAMES: &str = include_str!("../data/time_zones.txt");

/// Whether the database knows a zone of this name.
pub(crate) fn is_known(name: &str) -> bool {
    NAMES.lines().any(|known| known == name)
}
