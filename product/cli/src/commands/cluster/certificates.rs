//! Nodes' requests for certificates, approved and signed for a cluster whose API is elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use auth::csr::{self, NodeClient, Signers};
use client::{Api, BoxFuture, Call};
use controller::Signer;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;

use super::controllers::read;
use crate::error::CliError;

/// Who approves and signs.
pub(super) struct Certificates {
    /// Who is asked whether a node may.
    pub(super) api: Arc<dyn Api>,
    /// The files of the authority's certificate and key; without them nothing is signed.
    pub(super) authority: Option<(PathBuf, PathBuf)>,
    /// How long what is signed lives at most.
    pub(super) seconds: i64,
}

impl Certificates {
    /// The authority as its files have it now: whoever renews it writes there.
    pub(super) fn authority(&self) -> Option<Result<Signers, CliError>> {
        let (certificate, key) = self.authority.as_ref()?;
        let signer = || -> Result<csr::Signer, CliError> {
            let signer = csr::Signer::from_pem(&read(certificate)?, &read(key)?);
            signer.map_err(|error| {
                let files = format!("{} and {}", certificate.display(), key.display());
                CliError::message(format!("sign with {files}: {error}"))
                    .with_fix("both are PEM, the key RSA, ECDSA on P-256 or P-384, or Ed25519")
            })
        };
        let both = || Ok(Signers { client: signer()?, serving: signer()?, lifetime_seconds: self.seconds });
        Some(both())
    }

    async fn approved(&self, request: &Value) -> Result<Option<Value>, Status> {
        let reviews = GroupVersionResource::new("authorization.k8s.io", "v1", "subjectaccessreviews");
        for asked in NodeClient::of(request) {
            let review = self.api.call(Call::create(&reviews, "", asked.review(request))).await?;
            if review.pointer("/status/allowed") == Some(&Value::Bool(true)) {
                return Ok(Some(asked.approved(request, Timestamp::now())));
            }
        }
        Ok(None)
    }
}

impl Signer for Certificates {
    fn approve<'a>(&'a self, request: &'a Value) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        Box::pin(self.approved(request))
    }

    fn sign(&self, request: &Value) -> Result<Option<Value>, Status> {
        let Some(signers) = self.authority() else { return Ok(None) };
        let signers = signers.map_err(|error| Status::internal(error.to_string()))?;
        signers.signed(request, Timestamp::now()).map_err(Status::internal)
    }
}
