//! Docker's credential helper protocol: `docker-credential-NAME get|store|erase`
//! with the request on standard input and the answer on standard output.

use std::io;

use serde::Deserialize;

use super::credential::{Credential, CredentialError, Secret};

/// What a helper answered.
pub struct HelperOutput {
    /// Whether it exited with 0.
    pub success: bool,
    /// What it printed.
    pub stdout: Vec<u8>,
}

/// Starts credential helpers. This crate starts no process itself.
pub trait HelperRunner: Send + Sync {
    /// Runs `docker-credential-<helper> <action>` with `input` on standard input.
    fn run(&self, helper: &str, action: &str, input: &[u8]) -> io::Result<HelperOutput>;
}

/// Refuses to run helpers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHelpers;

impl HelperRunner for NoHelpers {
    fn run(&self, _helper: &str, _action: &str, _input: &[u8]) -> io::Result<HelperOutput> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "credential helpers are not enabled here"))
    }
}

/// The message by which helpers say that they have nothing. It is part of the protocol.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name by which a helper marks its secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

pub(super) struct Helper<'a> {
    name: &'a str,
    runner: &'a dyn HelperRunner,
}

impl<'a> Helper<'a> {
    pub(super) fn new(name: &'a str, runner: &'a dyn HelperRunner) -> Result<Self, CredentialError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(CredentialError::HelperName { helper: name.to_owned() });
        }
        Ok(Self { name, runner })
    }

    pub(super) fn get(&self, server: &str) -> Result<Option<Credential>, CredentialError> {
        let output = self.run("get", server.as_bytes())?;
        let failed = |message: String| self.failed("get", server, message);
        if !output.success {
            let message = message_of(&output.stdout);
            return if message.contains(NOT_FOUND) { Ok(None) } else { Err(failed(message)) };
        }
        // The parser's text could quote the secret.
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed("its answer is not the JSON that the protocol asks for".to_owned()))?;
        if answer.secret.is_empty() && answer.username.is_empty() {
            return Ok(None);
        }
        let secret = Secret::new(answer.secret);
        Ok(Some(match answer.username.as_str() {
            TOKEN_USER => Credential::Identity(secret),
            _ => Credential::Basic { username: answer.username, password: secret },
        }))
    }

    pub(super) fn store(&self, server: &str, credential: &Credential) -> Result<(), CredentialError> {
        let (username, secret) = match credential {
            Credential::Basic { username, password } => (username.as_str(), password),
            Credential::Identity(token) | Credential::Bearer(token) => (TOKEN_USER, token),
        };
        let input =
            serde_json::json!({ "ServerURL": server, "Username": username, "Secret": secret.expose() });
        let output = self.run("store", input.to_string().as_bytes())?;
        if output.success { Ok(()) } else { Err(self.failed("store", server, message_of(&output.stdout))) }
    }

    pub(super) fn erase(&self, server: &str) -> Result<(), CredentialError> {
        let output = self.run("erase", server.as_bytes())?;
        let message = message_of(&output.stdout);
        if output.success || message.contains(NOT_FOUND) {
            Ok(())
        } else {
            Err(self.failed("erase", server, message))
        }
    }

    fn run(&self, action: &'static str, input: &[u8]) -> Result<HelperOutput, CredentialError> {
        let start = |source| CredentialError::HelperStart { helper: self.name.to_owned(), source };
        self.runner.run(self.name, action, input).map_err(start)
    }

    fn failed(&self, action: &'static str, server: &str, message: String) -> CredentialError {
        CredentialError::Helper { helper: self.name.to_owned(), action, registry: server.to_owned(), message }
    }
}

/// The first line of what a failed helper said.
fn message_of(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    text.trim().lines().next().unwrap_or("it gave no reason").chars().take(300).collect()
}
