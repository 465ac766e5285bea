//! CRIU's messages: `images/rpc.proto` of its source. Numbers of fields and kinds are the
//! protocol; fields that we neither send nor read are left out.

use super::wire::{Fields, Malformed, Wire, put_varint};

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        put_varint(&mut self.0, field << 3);
        put_varint(&mut self.0, value);
        self
    }

    pub(super) fn flag(self, field: u64, value: bool) -> Self {
        self.number(field, u64::from(value))
    }

    pub(super) fn text(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    pub(super) fn message(self, field: u64, value: &Self) -> Self {
        self.text(field, &value.0)
    }

    /// A message of two texts, as half of CRIU's are.
    pub(super) fn pair(self, field: u64, first: impl AsRef<[u8]>, second: impl AsRef<[u8]>) -> Self {
        self.message(field, &Self::new().text(1, first).text(2, second))
    }
}

/// What is asked for (`criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

impl Kind {
    /// Its name in the protocol, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dump => "DUMP",
            Self::Restore => "RESTORE",
            Self::PreDump => "PRE_DUMP",
            Self::Notify => "NOTIFY",
            Self::FeatureCheck => "FEATURE_CHECK",
            Self::Version => "VERSION",
        }
    }

    /// A request (`criu_req`) with these options.
    pub(super) fn request(self, options: &Message) -> Message {
        self.bare().message(2, options)
    }

    /// A request without options.
    pub(super) fn bare(self) -> Message {
        Message::new().number(1, self as u64)
    }
}

/// The answer to a notification.
pub(super) fn answer(success: bool) -> Message {
    Kind::Notify.bare().flag(3, success)
}

/// Features of CRIU that a request needs (`criu_features`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    MemTrack = 1,
    LazyPages = 2,
}

impl Feature {
    pub(super) fn request(self) -> Message {
        Kind::FeatureCheck.bare().message(5, &Message::new().flag(self as u64, true))
    }
}

/// What CRIU says (`criu_resp`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) kind: u64,
    pub(super) success: bool,
    /// The restored process.
    pub(super) restored: Option<i32>,
    /// The point that it has reached, and for some the process there.
    pub(super) notify: Option<Notify>,
    pub(super) errno: i32,
    pub(super) message: String,
    /// Numbers of features that it has.
    pub(super) features: Vec<u64>,
    /// Major, minor and sub level, and whether it was built from between two releases.
    pub(super) version: Option<(u64, u64, u64, bool)>,
}

/// A point of CRIU's work that we are told of (`criu_notify`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notify {
    pub(super) script: String,
    pub(super) pid: i32,
}

impl Response {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut response = Self::default();
        let mut fields = Fields(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Number(kind)) => response.kind = kind,
                (2, Wire::Number(success)) => response.success = success != 0,
                (4, Wire::Bytes(bytes)) => response.restored = numbers(bytes)?.first().map(|n| n.1 as i32),
                (5, Wire::Bytes(bytes)) => response.notify = Some(notify(bytes)?),
                // Of 32 bits, the sign stretched to 64.
                (7, Wire::Number(errno)) => response.errno = errno as i32,
                (8, Wire::Bytes(bytes)) => {
                    let has = numbers(bytes)?.into_iter().filter(|(_, value)| *value != 0);
                    response.features = has.map(|(field, _)| field).collect();
                }
                (9, Wire::Bytes(text)) => response.message = String::from_utf8_lossy(text).trim().to_owned(),
                (10, Wire::Bytes(bytes)) => response.version = Some(version(bytes)?),
                _ => {}
            }
        }
        Ok(response)
    }
}

fn notify(bytes: &[u8]) -> Result<Notify, Malformed> {
    let mut notify = Notify::default();
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Wire::Bytes(script)) => notify.script = String::from_utf8_lossy(script).into_owned(),
            (2, Wire::Number(pid)) => notify.pid = pid as i32,
            _ => {}
        }
    }
    Ok(notify)
}

fn version(bytes: &[u8]) -> Result<(u64, u64, u64, bool), Malformed> {
    let numbers = numbers(bytes)?;
    let number = |field| numbers.iter().find(|(known, _)| *known == field).map_or(0, |(_, number)| *number);
    // Field 3, the commit, is there only when it is no release.
    let between = Fields(bytes);
    Ok((number(1), number(2), number(4), has_text(between, 3)?))
}

fn has_text(mut fields: Fields<'_>, wanted: u64) -> Result<bool, Malformed> {
    while let Some((field, value)) = fields.next()? {
        if field == wanted && matches!(value, Wire::Bytes(text) if !text.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn numbers(bytes: &[u8]) -> Result<Vec<(u64, u64)>, Malformed> {
    let mut numbers = Vec::new();
    let mut fields = Fields(bytes);
    while let Some((field, value)) = fields.next()? {
        if let Wire::Number(number) = value {
            numbers.push((field, number));
        }
    }
    Ok(numbers)
}

// Fields of `criu_opts`.
pub(super) const IMAGES_DIR_FD: u64 = 1;
pub(super) const PID: u64 = 2;
pub(super) const LEAVE_RUNNING: u64 = 3;
pub(super) const EXT_UNIX_SK: u64 = 4;
pub(super) const TCP_ESTABLISHED: u64 = 5;
pub(super) const EVASIVE_DEVICES: u64 = 6;
pub(super) const SHELL_JOB: u64 = 7;
pub(super) const FILE_LOCKS: u64 = 8;
pub(super) const LOG_LEVEL: u64 = 9;
pub(super) const LOG_FILE: u64 = 10;
pub(super) const PAGE_SERVER: u64 = 11;
pub(super) const NOTIFY_SCRIPTS: u64 = 12;
pub(super) const ROOT: u64 = 13;
pub(super) const PARENT_IMG: u64 = 14;
pub(super) const TRACK_MEM: u64 = 15;
pub(super) const AUTO_DEDUP: u64 = 16;
pub(super) const WORK_DIR_FD: u64 = 17;
pub(super) const LINK_REMAP: u64 = 18;
pub(super) const EXT_MNT: u64 = 23;
pub(super) const MANAGE_CGROUPS: u64 = 24;
pub(super) const CG_ROOT: u64 = 25;
pub(super) const RST_SIBLING: u64 = 26;
pub(super) const INHERIT_FD: u64 = 27;
pub(super) const MANAGE_CGROUPS_MODE: u64 = 34;
pub(super) const EXTERNAL: u64 = 37;
pub(super) const EMPTY_NS: u64 = 38;
pub(super) const JOIN_NS: u64 = 39;
pub(super) const FREEZE_CGROUP: u64 = 44;
pub(super) const TCP_SKIP_IN_FLIGHT: u64 = 46;
pub(super) const LAZY_PAGES: u64 = 48;
pub(super) const STATUS_FD: u64 = 49;
pub(super) const ORPHAN_PTS_MASTER: u64 = 50;
pub(super) const CONFIG_FILE: u64 = 51;
pub(super) const LSM_PROFILE: u64 = 53;
pub(super) const LSM_MOUNT_CONTEXT: u64 = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_requests() {
        assert_eq!(Kind::Version.bare().0, [8, 10]);
        let options = Message::new().text(LOG_FILE, "a").pair(EXT_MNT, "k", "v");
        let wanted = b"\x08\x01\x12\x0c\x52\x01a\xba\x01\x06\x0a\x01k\x12\x01v";
        assert_eq!(Kind::Dump.request(&options).0, wanted);
        assert_eq!(answer(true).0, [8, 6, 24, 1]);
        assert_eq!(Feature::LazyPages.request().0, [8, 9, 42, 2, 16, 1]);
    }

    #[test]
    fn reads_responses() {
        let version = Message::new().number(1, 3).number(2, 17).text(3, "").number(4, 1);
        let response = Message::new().number(1, 10).flag(2, true).message(10, &version);
        let parsed = Response::parse(&response.0).unwrap();
        assert_eq!((parsed.kind, parsed.success, parsed.version), (10, true, Some((3, 17, 1, false))));
        let notify = Message::new().text(1, "post-restore").number(2, 77);
        let response = Message::new().number(1, 6).flag(2, true).message(5, &notify).number(99, 1);
        let parsed = Response::parse(&response.0).unwrap().notify.unwrap();
        assert_eq!((parsed.script.as_str(), parsed.pid), ("post-restore", 77));
        let failed = Message::new().number(1, 1).flag(2, false).number(7, u64::MAX).text(9, "no\n");
        let parsed = Response::parse(&failed.0).unwrap();
        assert_eq!((parsed.success, parsed.errno, parsed.message.as_str()), (false, -1, "no"));
        let features = Message::new().flag(1, true).flag(2, false);
        let parsed = Response::parse(&Message::new().number(1, 9).message(8, &features).0).unwrap();
        assert_eq!(parsed.features, [1]);
        assert_eq!(Response::parse(&[8]), Err(Malformed));
    }
}
