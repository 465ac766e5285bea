//! Messages, in the forms that engines read from `--log`: logrus' text or JSON lines.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use std::time::SystemTime;

use crate::args::Globals;

/// Where messages go.
pub(crate) struct Log {
    file: Option<Mutex<std::fs::File>>,
    json: bool,
    debug: bool,
}

impl Log {
    /// The log that the options ask for. A file that cannot be opened is told on stderr.
    pub(crate) fn open(globals: &Globals) -> Self {
        let open = |path: &String| {
            let mut options = std::fs::OpenOptions::new();
            let options = options.create(true).append(true).mode(0o644);
            match options.open(path) {
                Ok(file) => Some(Mutex::new(file)),
                Err(error) => {
                    eprintln!("strake-runtime: open log {path}: {error}");
                    None
                }
            }
        };
        Self {
            file: globals.log.as_ref().and_then(open),
            json: globals.log_format.as_deref() == Some("json"),
            debug: globals.debug,
        }
    }

    /// What ended the command. Also on stderr, where people look.
    pub(crate) fn fatal(&self, message: &str) {
        self.write("error", message);
        if self.file.is_some() {
            eprintln!("{message}");
        }
    }

    /// Why the program of a container could not be executed: on stderr in its own words alone, as if
    /// the program had said it.
    pub(crate) fn no_program(&self, message: &str) {
        if self.file.is_some() {
            self.write("error", message);
        }
        eprintln!("{message}");
    }

    /// What could not be had.
    pub(crate) fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// Each of these.
    pub(crate) fn warn_all(&self, messages: &[String]) {
        messages.iter().for_each(|message| self.warn(message));
    }

    /// Whether `--debug` was given.
    pub(crate) fn debugs(&self) -> bool {
        self.debug
    }

    /// What `--debug` shows.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let line = self.line(level, message);
        // There is no other place to complain at.
        match &self.file {
            Some(file) => {
                if let Ok(mut file) = file.lock() {
                    let _ = file.write_all(line.as_bytes());
                }
            }
            None => eprint!("{line}"),
        }
    }

    fn line(&self, level: &str, message: &str) -> String {
        let time = oci_runtime::state::rfc3339(SystemTime::now());
        let seconds = time.split('.').next().unwrap_or_default();
        if self.json {
            let value = serde_json::json!({ "level": level, "msg": message, "time": format!("{seconds}Z") });
            return format!("{value}\n");
        }
        format!("time=\"{seconds}Z\" level={level} msg={message:?}\n")
    }
}
