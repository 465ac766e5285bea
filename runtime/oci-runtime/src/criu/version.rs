//! Which CRIU there is, and what it can do.

use super::CriuError;
use super::message::{Feature, Kind, Response};
use super::options::CriuProgram;
use super::session::Session;
use crate::error::Error;

/// `31700` is 3.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

impl Version {
    /// Asks it; what is too old for any use is an error.
    pub(super) fn ask(program: &CriuProgram) -> Result<Self, Error> {
        let response = Session::quiet(program)?.ask(Kind::Version, &Kind::Version.bare())?;
        let version = Self::of(&response).ok_or(CriuError::Malformed)?;
        version.needs(LEAST, "checkpoint and restore")?;
        Ok(version)
    }

    fn of(response: &Response) -> Option<Self> {
        let (major, minor, sub_level, between) = response.version?;
        let release = major.checked_mul(10_000)?.checked_add(minor.checked_mul(100)?)?;
        // What follows a release can do what the next one can.
        Some(Self(if between { release.checked_add(100)? } else { release.checked_add(sub_level)? }))
    }

    pub(super) fn is(self, least: u64) -> bool {
        self.0 >= least
    }

    pub(super) fn needs(self, least: u64, what: &'static str) -> Result<(), CriuError> {
        if self.is(least) { Ok(()) } else { Err(CriuError::TooOld { has: self.0, least, what }) }
    }
}

/// That the machine's CRIU and kernel have it.
pub(super) fn check(program: &CriuProgram, feature: Feature) -> Result<(), Error> {
    let response = Session::quiet(program)?.ask(Kind::FeatureCheck, &feature.request())?;
    let name = match feature {
        Feature::MemTrack => "memory tracking (mem_track), which --pre-dump needs",
        Feature::LazyPages => "user faults (lazy_pages), which --lazy-pages needs",
    };
    match response.features.contains(&(feature as u64)) {
        true => Ok(()),
        false => Err(CriuError::NoFeature { name }.into()),
    }
}

/// The first that says its version over the socket.
const LEAST: u64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_number() {
        let of = |version| Version::of(&Response { version, ..Response::default() });
        assert_eq!(of(Some((3, 17, 1, false))), Some(Version(31_701)));
        assert_eq!(of(Some((4, 2, 0, true))), Some(Version(40_300)));
        assert_eq!(of(None), None);
        assert_eq!(of(Some((u64::MAX, 0, 0, false))), None);
    }

    #[test]
    fn an_old_one_is_named() {
        let error = Version(21_200).needs(LEAST, "checkpoint").unwrap_err().to_string();
        assert_eq!(error, "CRIU 2.12 is too old for checkpoint: 3.0 or later is needed");
    }
}
