//! An unwelcome response → an error that says what to do (distribution-spec, "Error codes").

use http::StatusCode;
use serde::Deserialize;

use crate::error::{Error, Operation};
use crate::transport::Response;
use crate::wire::asked_wait;

/// What a request was about, for its error.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Manifest { reference: String },
    Blob { digest: base::Digest, repository: String },
    Repository { repository: String },
    Api,
}

impl Subject {
    fn text(&self) -> String {
        match self {
            Self::Manifest { reference } => reference.clone(),
            Self::Blob { digest, repository } => format!("blob {digest} of {repository}"),
            Self::Repository { repository } => repository.clone(),
            Self::Api => "this registry".to_owned(),
        }
    }
}

const ERROR_BYTES_MAX: u64 = 64 * 1024;
const DETAIL_CHARS_MAX: usize = 300;

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Entry>,
    /// Token servers speak so.
    #[serde(default)]
    details: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The registry's own words, on one line.
pub(crate) async fn detail(mut response: Response) -> String {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("no reason given").to_lowercase();
    let Ok(text) = response.bytes(ERROR_BYTES_MAX, "an error message").await else { return reason };
    let words = match serde_json::from_slice::<Errors>(&text) {
        Ok(Errors { errors, details, error_description }) => {
            let said = errors.into_iter().map(|entry| match (entry.code.as_str(), entry.message.as_str()) {
                (code, "") => code.to_owned(),
                (_, message) => message.to_owned(),
            });
            said.chain([details, error_description]).find(|text| !text.is_empty())
        }
        Err(_) => None,
    };
    one_line(&words.unwrap_or(reason))
}

/// Control characters of a stranger's text do not reach a terminal.
fn one_line(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect();
    clean.trim().to_owned()
}

/// The error that `response` means for `operation` on `subject` of `registry`.
pub(crate) async fn error_of(
    response: Response,
    operation: Operation,
    subject: &Subject,
    registry: &str,
) -> Error {
    let status = response.status();
    let host = response.host();
    let asked = asked_wait(&response);
    let detail = detail(response).await;
    let login_host = registry.to_owned();
    match status {
        StatusCode::UNAUTHORIZED if operation == Operation::Login => Error::BadLogin { host, detail },
        StatusCode::UNAUTHORIZED => {
            Error::Unauthorized { host, operation, object: subject.text(), detail, login_host }
        }
        StatusCode::FORBIDDEN => {
            Error::Denied { host, operation, object: subject.text(), detail, login_host }
        }
        StatusCode::NOT_FOUND => match subject.clone() {
            Subject::Manifest { reference } => Error::ManifestUnknown { reference, host },
            Subject::Blob { digest, repository } => Error::BlobUnknown { digest, repository, host },
            Subject::Repository { repository } => Error::RepositoryUnknown { repository, host },
            Subject::Api => Error::Protocol { host, what: "it has no /v2/ API".to_owned() },
        },
        StatusCode::TOO_MANY_REQUESTS => Error::RateLimited { host, retry_after: asked },
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Error::Server { host, status: status.as_u16(), detail }
        }
        status => Error::Rejected { host, what: subject.text(), status: status.as_u16(), detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_one_line() {
        assert_eq!(one_line("a\n\x1b[31mb"), "a  [31mb");
        assert_eq!(one_line(&"x".repeat(1000)).len(), DETAIL_CHARS_MAX);
    }
}
