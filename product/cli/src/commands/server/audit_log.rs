//! What is recorded of the requests that the server gets, and where.

use std::path::PathBuf;
use std::sync::Arc;

use audit::{Audit, FileSettings, Format, Log, Mode, Settings, Target, Truncate, policy};

use crate::context::Context;
use crate::error::CliError;

/// Options of the audit log, with kube-apiserver's names and defaults.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// Policy that says which requests are recorded, and how much of each: audit.k8s.io/v1, kind Policy
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where requests are recorded; - is standard output
    #[arg(long, value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,
    /// How events are written
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub audit_log_format: LogFormat,
    /// Who waits for the log: nobody, every request, or every request and those whose arrival cannot be written fail
    #[arg(long, value_name = "MODE", default_value = "blocking")]
    pub audit_log_mode: LogMode,
    /// Most events that wait to be written; more are lost in mode batch, and waited for in the others
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_log_batch_buffer_size: u32,
    /// Size of the log's file at which a new one is begun, in MiB; 0 keeps all in one
    #[arg(long, value_name = "MIB", default_value_t = 100)]
    pub audit_log_maxsize: u32,
    /// How many days older files are kept; 0 is for ever
    #[arg(long, value_name = "DAYS", default_value_t = 366)]
    pub audit_log_maxage: u32,
    /// How many older files are kept; 0 is all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub audit_log_maxbackup: u32,
    /// Compress older files
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_log_compress: bool,
    /// Take the objects out of large events
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_log_truncate_enabled: bool,
    /// Which events are large, in bytes; what is larger even without objects is not written
    #[arg(long, value_name = "BYTES", default_value_t = 102_400, value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_log_truncate_max_event_size: u32,
    /// Most bytes that are written at once where large events are shortened
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    pub audit_log_truncate_max_batch_size: u32,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// One line of text with the most important
    Legacy,
}

/// Who waits for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogMode {
    /// Nobody: events that come too fast are lost
    Batch,
    /// Every request
    Blocking,
    /// Every request; one whose arrival cannot be written fails
    BlockingStrict,
}

impl AuditArgs {
    /// Opens the log, if there is a policy and a place for it.
    pub(super) fn open(&self, context: &Context) -> Result<Option<Arc<Audit>>, CliError> {
        let settings = self.settings()?;
        let Some(path) = &self.audit_policy_file else {
            if settings.is_some() {
                context.warn(
                    "no audit policy file provided, no events will be recorded: give --audit-policy-file",
                );
            }
            return Ok(None);
        };
        let loaded = policy::load(path).map_err(|error| {
            CliError::message(error.to_string())
                .with_fix("correct the policy, or leave out --audit-policy-file")
        })?;
        if let Some(warning) = loaded.warning {
            context.warn(warning);
        }
        let Some(settings) = settings else {
            context.warn("an audit policy without --audit-log-path records nothing");
            return Ok(None);
        };
        let log = Log::open(settings).map_err(|error| {
            CliError::message(error.to_string())
                .with_fix("name a file that can be written to with --audit-log-path")
        })?;
        Ok(Some(Audit::new(loaded.policy, log)))
    }

    fn settings(&self) -> Result<Option<Settings>, CliError> {
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let (event, batch) = (self.audit_log_truncate_max_event_size, self.audit_log_truncate_max_batch_size);
        if batch < event {
            return Err(CliError::message(format!(
                "invalid audit truncate log max batch size {batch}, must be greater than max event size ({event})"
            ))
            .with_fix("give --audit-log-truncate-max-batch-size a larger number"));
        }
        let target = if path.as_os_str() == "-" {
            Target::Stdout
        } else {
            Target::File(FileSettings {
                path: path.clone(),
                max_bytes: Some(u64::from(self.audit_log_maxsize) << 20).filter(|max| *max > 0),
                max_age_days: self.audit_log_maxage,
                max_backups: self.audit_log_maxbackup as usize,
                compress: self.audit_log_compress,
            })
        };
        let truncate = Truncate { max_event_bytes: event as usize, max_batch_bytes: batch as usize };
        Ok(Some(Settings {
            target,
            format: match self.audit_log_format {
                LogFormat::Json => Format::Json,
                LogFormat::Legacy => Format::Legacy,
            },
            mode: match self.audit_log_mode {
                LogMode::Batch => Mode::Batch,
                LogMode::Blocking => Mode::Blocking,
                LogMode::BlockingStrict => Mode::BlockingStrict,
            },
            buffer: self.audit_log_batch_buffer_size as usize,
            truncate: self.audit_log_truncate_enabled.then_some(truncate),
        }))
    }
}
