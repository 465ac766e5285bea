//! Why nobody knows who asks. The client sees a 401 without the reason; the log and
//! `TokenReview` see it.

use kube_object::status::Status;

use super::x509::CertificateError;

/// Authentication failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AuthError {
    /// Nothing was shown.
    #[error("no credentials")]
    NoCredentials,
    /// The certificate is wrong.
    #[error("client certificate: {0}")]
    Certificate(#[source] CertificateError),
    /// The token is wrong.
    #[error("{}", .0.for_review())]
    Token(#[source] TokenError),
}

/// A bearer token is wrong, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody issued it.
    #[error("invalid bearer token")]
    NotRecognised,
    /// No key of ours signed it.
    #[error("invalid signature")]
    Signature,
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYetValid,
    /// It was issued later than now.
    #[error("service account token is issued in the future")]
    FromTheFuture,
    /// It is for somebody else.
    #[error("token audiences {token:?} is invalid for the target audiences {targets:?}")]
    Audience {
        /// Those in the token.
        token: Vec<String>,
        /// Those that are wanted.
        targets: Vec<String>,
    },
    /// What it is bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
    /// The secret holds another token.
    #[error("token does not match server's copy")]
    NoMatch,
    /// The account does not exist.
    #[error("{kind} {name:?} not found")]
    NotFound {
        /// The plural of the kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The account is deleted.
    #[error("service account {account} has been deleted")]
    AccountDeleted {
        /// `namespace/name`.
        account: String,
    },
    /// Another object has the name now.
    #[error("{kind} UID ({actual}) does not match claim ({claimed})")]
    OtherUid {
        /// What it is bound to.
        kind: &'static str,
        /// The object's identity.
        actual: String,
        /// The one in the token.
        claimed: String,
    },
    /// Nobody used it for long.
    #[error(
        "the token in secret {secret} for service account {account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token"
    )]
    MarkedInvalid {
        /// `namespace/name` of the secret.
        secret: String,
        /// `namespace/name` of the account.
        account: String,
    },
}

impl TokenError {
    /// As `TokenReview` reports it.
    pub fn for_review(&self) -> String {
        match self {
            Self::NotRecognised => self.to_string(),
            other => format!("[{}, {other}]", Self::NotRecognised),
        }
    }
}

impl From<AuthError> for Status {
    fn from(_: AuthError) -> Self {
        Self::unauthorized()
    }
}
