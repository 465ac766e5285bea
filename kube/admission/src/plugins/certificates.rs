//! Steps about certificates: who may approve, sign and attest, and what no one may ask for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use crate::host::Access;
use crate::notes::Notes;
use crate::plugin::{Plugin, Scene};
use crate::read::{at, text};
use crate::request::{Operation, Request};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const MASTERS: &str = "system:masters";

/// Whether the user may do this for a signer, or for all of the signer's domain.
fn is_permitted(request: &Request, scene: &Scene<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let resource = GroupVersionResource::new(GROUP, "*", "signers");
        let access = Access { verb: verb.to_owned(), resource, name, ..Access::default() };
        scene.host.authorizer.authorize(&request.user, &access).allowed
    })
}

fn old(request: &Request) -> &Value {
    request.old.as_ref().unwrap_or(&Value::Null)
}

fn new(request: &Request) -> &Value {
    request.object.as_ref().unwrap_or(&Value::Null)
}

/// `CertificateApproval`: approving needs the right to approve for that signer.
pub(crate) struct CertificateApproval;

impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_sub(GROUP, REQUESTS, "approval") {
            return Ok(());
        }
        let signer = text(old(request), &["spec", "signerName"]);
        if is_permitted(request, scene, "approve", signer) {
            return Ok(());
        }
        Err(request
            .forbidden(format_args!("user not permitted to approve requests with signerName {signer:?}")))
    }
}

/// `CertificateSigning`: signing needs the right to sign for that signer.
pub(crate) struct CertificateSigning;

impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let same = |name| at(old(request), &["status", name]) == at(new(request), &["status", name]);
        if !request.is_sub(GROUP, REQUESTS, "status") || (same("certificate") && same("conditions")) {
            return Ok(());
        }
        let signer = text(old(request), &["spec", "signerName"]);
        if is_permitted(request, scene, "sign", signer) {
            return Ok(());
        }
        Err(request.forbidden(format_args!("user not permitted to sign requests with signerName {signer:?}")))
    }
}

/// `CertificateSubjectRestriction`: nobody becomes `system:masters` by a certificate.
pub(crate) struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn validate(&self, request: &Request, _scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let signer = text(new(request), &["spec", "signerName"]);
        if !request.is_for(GROUP, REQUESTS) || signer != "kubernetes.io/kube-apiserver-client" {
            return Ok(());
        }
        let organizations = organizations(text(new(request), &["spec", "request"]));
        let Some(organizations) = organizations else {
            let why = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
            return Err(request.forbidden(why));
        };
        if !organizations.iter().any(|name| name == MASTERS) {
            return Ok(());
        }
        Err(request.forbidden(format_args!("use of {signer} signer with {MASTERS} group is not allowed")))
    }
}

/// The organizations of the subject of a request, which is PEM in base64.
fn organizations(request: &str) -> Option<Vec<String>> {
    let bytes = STANDARD.decode(request).ok()?;
    let pem = Pem::iter_from_buffer(&bytes).next()?.ok().filter(|pem| pem.label == "CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    Some(subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect())
}

/// `ClusterTrustBundleAttest`: trust in a signer is declared by who may attest for it.
pub(crate) struct ClusterTrustBundleAttest;

impl Plugin for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for(GROUP, "clustertrustbundles") {
            return Ok(());
        }
        let unchanged = request.operation == Operation::Update
            && at(new(request), &["spec"]) == at(old(request), &["spec"]);
        let signer = text(new(request), &["spec", "signerName"]);
        if unchanged || signer.is_empty() || is_permitted(request, scene, "attest", signer) {
            return Ok(());
        }
        Err(request.forbidden(format_args!("user not permitted to attest for signerName {signer:?}")))
    }
}
