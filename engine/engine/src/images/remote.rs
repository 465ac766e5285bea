//! The way to registries: their client, its settings, and a runtime for as long as
//! one is spoken to.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use registry::{
    Client, Config, Credential, CredentialError, CredentialSource, DockerConfig, HelperOutput, HelperRunner,
    Hosts, RetryPolicy, Timeouts,
};

use super::Error;

/// How registries are reached. The roof fills it in.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// Docker's `config.json` with the credentials; without one everything is anonymous.
    pub docker_config: Option<PathBuf>,
    /// What to show to every registry, instead of what the file has: a caller's own credential.
    pub credential: Option<Credential>,
    /// Directories with a `hosts.toml` per registry, first match first.
    pub hosts_directories: Vec<PathBuf>,
    /// Registries that may be spoken to without verified TLS.
    pub insecure: Vec<String>,
    /// Retries, when not the default.
    pub retry: Option<RetryPolicy>,
    /// Time limits, when not the default.
    pub timeouts: Option<Timeouts>,
    /// Push in pieces of so many bytes.
    pub push_chunk_bytes: Option<u64>,
}

impl Remote {
    /// A client with these settings.
    pub(super) fn client(&self) -> Client {
        let mut config = Config {
            hosts: Hosts { directories: self.hosts_directories.clone(), insecure: self.insecure.clone() },
            push_chunk_bytes: self.push_chunk_bytes,
            ..Config::default()
        };
        if let Some(credential) = &self.credential {
            config.credentials = Arc::new(Given(credential.clone()));
        } else if let Some(docker_config) = self.credentials() {
            config.credentials = Arc::new(docker_config);
        }
        config.retry = self.retry.unwrap_or(config.retry);
        config.timeouts = self.timeouts.unwrap_or(config.timeouts);
        Client::new(config)
    }

    /// Where credentials are kept.
    pub(super) fn credentials(&self) -> Option<DockerConfig> {
        self.docker_config.as_ref().map(|path| DockerConfig::new(path, Arc::new(HelperProcesses)))
    }
}

/// One credential, whoever asks.
struct Given(Credential);

impl CredentialSource for Given {
    fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

/// Runs `work` to its end in this thread. The runtime exists only meanwhile: what
/// speaks to no registry pays for none.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Names are resolved there.
        .max_blocking_threads(4)
        .build()
        .map_err(|source| Error::System { operation: "start a runtime for the network", source })?;
    let outcome = runtime.block_on(work);
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Credential helpers are programs: that is docker's protocol.
struct HelperProcesses;

impl HelperRunner for HelperProcesses {
    fn run(&self, helper: &str, action: &str, input: &[u8]) -> io::Result<HelperOutput> {
        let mut child = Command::new(format!("docker-credential-{helper}"))
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input) {
                // A helper that knows its answer need not read the question.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        let output = child.wait_with_output()?;
        Ok(HelperOutput { success: output.status.success(), stdout: output.stdout })
    }
}
