//! The loops of the control plane, in the server's own process: they read its cache and call its verbs.

use std::sync::Arc;

use apiserver::compose::Composed;
use apiserver::{ApiServer, LocalApi};
use auth::Authorizer;
use auth::csr::{Signers, Step, approve};
use auth::pki::{Pki, PkiError};
use client::Api;
use controller::{Clock, Config, Election, Runtime, Signer, SystemClock};
use controllers::Settings;
use kube_object::user::User;
use serde_json::Value;

/// All loops, ready to run. With an identity they act only while they hold the Lease: servers that share a
/// store must not all act.
pub(super) fn runtime(
    server: &ApiServer,
    composed: &Composed,
    pki: &Pki,
    identity: Option<String>,
) -> Result<Arc<Runtime>, PkiError> {
    let registry = Arc::clone(server.registry());
    let clients =
        move |user: User, agent: &str| Arc::new(LocalApi::new(&registry, user, agent)) as Arc<dyn Api>;
    let clock = SystemClock::default();
    let certificates = Certificates {
        signers: pki.signers(CERTIFICATE_SECONDS)?,
        authorizer: Arc::clone(&composed.authorizer),
        clock,
    };
    Ok(Runtime::new(Config {
        loops: controllers::all(),
        clients: Arc::new(clients),
        mirror: server.cache().clone(),
        clock: Arc::new(clock),
        settings: Settings { root_ca: pki.server_ca.certificate.clone(), signs_certificates: true },
        signer: Some(Arc::new(certificates)),
        election: identity.map(|identity| Election {
            identity,
            namespace: "kube-system".to_owned(),
            name: "kube-controller-manager".to_owned(),
        }),
    }))
}

/// The cluster's signers and who may have what.
struct Certificates {
    signers: Signers,
    authorizer: Arc<Authorizer>,
    clock: SystemClock,
}

impl Signer for Certificates {
    fn approve(&self, request: &Value) -> Option<Value> {
        approve(request, &self.authorizer, self.clock.now())
    }

    fn sign(&self, request: &Value) -> Option<Value> {
        match self.signers.decide(request, &self.authorizer, self.clock.now()) {
            Ok(Step::Status(signed)) => Some(signed),
            _ => None,
        }
    }
}

/// How long signed certificates live unless their request wants less: a year, as upstream.
const CERTIFICATE_SECONDS: i64 = 365 * 24 * 3600;
