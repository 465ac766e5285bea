//! The log's file, and the older ones beside it.
//!
//! ```text
//! audit.log                                   written to
//! audit-2026-01-02T03-04-05.678.log           full: renamed, in one step
//! audit-2026-01-01T03-04-05.678.log.gz        compressed: written beside, then renamed
//! ```
//!
//! Names, sizes and ages are those of upstream's logger, so that what collects its files collects
//! ours. Whatever a kill leaves behind is put right at the next start: a torn line is ended, a
//! file without a successor gets one, half a compressed file is made anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Where the log is, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The file.
    pub path: PathBuf,
    /// It is renamed before it becomes larger; none keeps everything in one file.
    pub max_bytes: Option<u64>,
    /// Older files are removed after so many days; 0 keeps them.
    pub max_age_days: u32,
    /// So many older files are kept; 0 keeps all.
    pub max_backups: usize,
    /// Whether older files are compressed.
    pub compress: bool,
}

/// The file that is written to.
#[derive(Debug)]
pub(crate) struct LogFile {
    settings: FileSettings,
    file: File,
    size: u64,
    /// Whether the last line may have no end.
    torn: bool,
}

impl LogFile {
    /// Opens the file, or makes it, readable for its owner only.
    pub(crate) fn open(settings: FileSettings) -> io::Result<Self> {
        if let Some(directory) = settings.path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut file = append(&settings.path, 0o600)?;
        let size = file.metadata()?.len();
        let torn = size > 0 && last_byte(&mut file)? != b'\n';
        Ok(Self { settings, file, size, torn })
    }

    /// Whether there is anything to tidy up beside the file.
    pub(crate) fn rotates(&self) -> bool {
        self.settings.max_bytes.is_some()
    }

    pub(crate) fn settings(&self) -> &FileSettings {
        &self.settings
    }

    /// Whether a line more would be too much for this file, after what is to be written before it.
    pub(crate) fn is_full_for(&self, before: usize, line: usize) -> bool {
        let before = self.size.saturating_add(before as u64);
        let after = before.saturating_add(line as u64);
        // What is larger than a whole file gets one of its own.
        before > 0 && self.settings.max_bytes.is_some_and(|max| after > max)
    }

    /// Begins a new file; the old one is named after this moment.
    pub(crate) fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let mode = {
            use std::os::unix::fs::PermissionsExt as _;
            self.file.metadata()?.permissions().mode() & 0o777
        };
        let mut stamp = now;
        let mut backup = self.settings.names().backup(stamp);
        // Two in one millisecond, or a clock that went back: none may take another's name.
        while backup.exists() || with_suffix(&backup, GZ).exists() {
            stamp = stamp.checked_add(SignedDuration::from_millis(1)).map_err(io::Error::other)?;
            backup = self.settings.names().backup(stamp);
        }
        match fs::rename(&self.settings.path, &backup) {
            // Somebody took the file away: then there is nothing to keep.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append(&self.settings.path, mode)?;
        (self.size, self.torn) = (self.file.metadata()?.len(), false);
        Ok(())
    }

    /// Appends lines as a whole; if that fails, nothing of them stays.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            (self.size, self.torn) = (self.size + 1, false);
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.size += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A full disk takes the beginning of a line.
                self.torn = self.file.set_len(self.size).is_err();
                if self.torn {
                    self.size = self.file.metadata().map_or(self.size, |meta| meta.len());
                }
                Err(error)
            }
        }
    }
}

impl FileSettings {
    fn names(&self) -> Names<'_> {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let name = text(self.path.file_name());
        let dot = name.rfind('.').unwrap_or(name.len());
        let (stem, extension) = name.split_at(dot);
        let (prefix, extension) = (format!("{stem}-"), extension.to_owned());
        let directory = self.path.parent().filter(|path| !path.as_os_str().is_empty());
        Names { directory: directory.unwrap_or(Path::new(".")), prefix, extension }
    }
}

/// How older files are called.
struct Names<'a> {
    directory: &'a Path,
    prefix: String,
    extension: String,
}

impl Names<'_> {
    fn backup(&self, at: Timestamp) -> PathBuf {
        let at = at.to_zoned(TimeZone::UTC).datetime();
        let stamp = format!("{}.{:03}", at.strftime(STAMP), at.millisecond());
        self.directory.join(format!("{}{stamp}{}", self.prefix, self.extension))
    }

    /// When a file was full, by its name, and what follows the extension.
    fn read<'n>(&self, name: &'n str) -> Option<(Timestamp, &'n str)> {
        let rest = name.strip_prefix(&self.prefix)?;
        let (stamp, rest) = rest.split_at_checked(STAMP_LEN)?;
        let (seconds, millis) = stamp.split_once('.')?;
        let at = DateTime::strptime(STAMP, seconds).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let at = at.checked_add(SignedDuration::from_millis(millis.parse().ok()?)).ok()?;
        Some((at, rest.strip_prefix(&self.extension)?))
    }
}

/// What is done to older files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tidying {
    remove: Vec<String>,
    compress: Vec<String>,
}

/// Removes and compresses older files, as the settings want it.
pub(crate) fn tidy(settings: &FileSettings, now: Timestamp) -> io::Result<()> {
    let names = settings.names();
    let mut found = Vec::new();
    for entry in fs::read_dir(names.directory)? {
        if let Ok(name) = entry?.file_name().into_string() {
            found.push(name);
        }
    }
    let plan = plan(settings, &names, &found, now);
    let mut result = Ok(());
    for name in &plan.remove {
        result = result.and(fs::remove_file(names.directory.join(name)));
    }
    for name in &plan.compress {
        result = result.and(compress(&names.directory.join(name)));
    }
    result
}

/// Which of the files in a directory go, and which become smaller.
fn plan(settings: &FileSettings, names: &Names<'_>, found: &[String], now: Timestamp) -> Tidying {
    let mut plan = Tidying::default();
    let mut backups = Vec::new();
    for name in found {
        match names.read(name) {
            Some((at, suffix @ ("" | GZ))) => backups.push((at, name, suffix == GZ)),
            Some((_, PART)) => plan.remove.push(name.clone()),
            _ => {}
        }
    }
    backups.sort_by(|one, other| other.cmp(one));
    let oldest = match settings.max_age_days {
        0 => None,
        days => now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).ok(),
    };
    let (mut kept, mut last) = (0, None);
    for (at, name, compressed) in backups {
        // A file and its compressed form are one.
        if last != Some(at) {
            kept += 1;
            last = Some(at);
        }
        let too_many = settings.max_backups > 0 && kept > settings.max_backups;
        if too_many || oldest.is_some_and(|oldest| at < oldest) {
            plan.remove.push(name.clone());
        } else if settings.compress && !compressed {
            plan.compress.push(name.clone());
        }
    }
    plan
}

fn compress(path: &Path) -> io::Result<()> {
    let part = with_suffix(path, PART);
    let mut source = File::open(path)?;
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    made.set_permissions(source.metadata()?.permissions())?;
    let mut encoder = GzEncoder::new(made, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&part, with_suffix(path, GZ))?;
    fs::remove_file(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn append(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    // `/dev/stdout` and its kind have no end to look at.
    if file.seek(SeekFrom::End(-1)).is_err() {
        return Ok(b'\n');
    }
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

const STAMP: &str = "%Y-%m-%dT%H-%M-%S";
/// Of [`STAMP`] with its milliseconds.
const STAMP_LEN: usize = 23;
const GZ: &str = ".gz";
/// What is being compressed.
const PART: &str = ".gz.part";

#[cfg(test)]
mod tests {
    use testkit::TempDir;

    use super::*;

    fn settings(directory: &TempDir) -> FileSettings {
        FileSettings {
            path: directory.path().join("deep/audit.log"),
            max_bytes: Some(20),
            max_age_days: 0,
            max_backups: 0,
            compress: false,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn listed(settings: &FileSettings) -> Vec<(String, String)> {
        let mut all: Vec<_> = fs::read_dir(settings.path.parent().unwrap())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let bytes = fs::read(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), String::from_utf8_lossy(&bytes).into_owned())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn full_files_get_a_name_of_their_own() {
        let directory = TempDir::new();
        let settings = settings(&directory);
        let mut file = LogFile::open(settings.clone()).unwrap();
        let now = at("2026-01-02T03:04:05.678Z");
        for line in ["0123456789\n", "second\n", "larger than a whole file of it\n", "last\n"] {
            if file.is_full_for(0, line.len()) {
                file.rotate(now).unwrap();
            }
            file.append(line.as_bytes()).unwrap();
        }
        let expected = [
            ("audit-2026-01-02T03-04-05.678.log", "0123456789\nsecond\n"),
            ("audit-2026-01-02T03-04-05.679.log", "larger than a whole file of it\n"),
            ("audit.log", "last\n"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(listed(&settings), expected);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&settings.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_start_after_a_kill_goes_on_with_whole_lines() {
        let directory = TempDir::new();
        let settings = settings(&directory);
        drop(LogFile::open(settings.clone()).unwrap());
        fs::write(&settings.path, "whole\ntorn").unwrap();
        let mut file = LogFile::open(settings.clone()).unwrap();
        file.append(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "whole\ntorn\nnext\n");
        // Killed between the renaming and the new file.
        fs::rename(&settings.path, settings.path.with_file_name("audit-2026-01-02T03-04-05.678.log"))
            .unwrap();
        LogFile::open(settings.clone()).unwrap().append(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&settings.path).unwrap(), "new\n");
    }

    #[test]
    fn keeps_what_the_settings_say() {
        let names = [
            "audit.log",
            "audit-2026-01-05T00-00-00.000.log",
            "audit-2026-01-04T00-00-00.000.log",
            "audit-2026-01-04T00-00-00.000.log.gz",
            "audit-2026-01-03T00-00-00.000.log.gz",
            "audit-2026-01-02T00-00-00.000.log.gz.part",
            "audit-2026-01-02T00-00-00.000.log",
            "audit-2026-01-02T00-00-00.000.txt",
            "audit-strange.log",
            "other.log",
        ];
        let found = names.map(str::to_owned);
        let now = at("2026-01-05T12:00:00Z");
        for (max_age_days, max_backups, compress, removed, compressed) in [
            (0, 0, false, vec![5], vec![]),
            (0, 0, true, vec![5], vec![1, 2, 6]),
            (0, 2, true, vec![5, 4, 6], vec![1, 2]),
            (0, 3, false, vec![5, 6], vec![]),
            (2, 0, false, vec![5, 4, 6], vec![]),
            (1, 1, true, vec![5, 3, 2, 4, 6], vec![1]),
        ] {
            let settings = FileSettings {
                path: "/var/log/audit.log".into(),
                max_bytes: Some(1),
                max_age_days,
                max_backups,
                compress,
            };
            let plan = plan(&settings, &settings.names(), &found, now);
            let mut expected = Tidying::default();
            expected.remove.extend(removed.into_iter().map(|at: usize| found[at].clone()));
            expected.compress.extend(compressed.into_iter().map(|at: usize| found[at].clone()));
            let sorted = |mut plan: Tidying| {
                plan.remove.sort();
                plan.compress.sort();
                plan
            };
            assert_eq!(sorted(plan), sorted(expected), "{max_age_days} {max_backups} {compress}");
        }
    }

    #[test]
    fn compresses_all_or_nothing() {
        let directory = TempDir::new();
        let mut settings = settings(&directory);
        settings.compress = true;
        let mut file = LogFile::open(settings.clone()).unwrap();
        file.append(b"line\n").unwrap();
        file.rotate(at("2026-01-02T03:04:05Z")).unwrap();
        let packed = settings.path.with_file_name("audit-2026-01-02T03-04-05.000.log.gz");
        // Half of it, of a run that was killed.
        fs::write(with_suffix(&packed.with_extension(""), PART), "half").unwrap();
        fs::write(&packed, "older").unwrap();
        tidy(&settings, at("2026-01-02T03:05:00Z")).unwrap();
        let names: Vec<_> = listed(&settings).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["audit-2026-01-02T03-04-05.000.log.gz", "audit.log"]);
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&packed).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n");
        assert!(settings.path.exists());
    }
}
