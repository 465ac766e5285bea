//! Authorization and authentication cost microseconds, not milliseconds.
//!
//! The bound is far above what is measured, for slow machines and debug builds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::authn::{Authenticator, Credentials};
use auth::bootstrap;
use auth::{Attributes, Authorizer, ResourceAttributes};
use serde_json::json;

use crate::authentication::{ISSUER, config, key};
use crate::clock::{NOW, at, cluster};

#[test]
fn a_request_is_cheap() {
    let account = "system:serviceaccount:kube-system:deployment-controller";
    let mut objects = bootstrap::objects();
    objects.push(json!({"kind": "ServiceAccount",
        "metadata": {"name": "deployment-controller", "namespace": "kube-system", "uid": "u"}}));
    let cluster = Arc::new(cluster(objects));
    let key = key();
    let authenticator = Authenticator::new(config(&key), cluster.clone());
    let authorizer = Authorizer::new(cluster);
    let token = key
        .sign(&json!({"iss": ISSUER, "aud": ["api"], "exp": NOW + 3600, "sub": account, "kubernetes.io": {
            "namespace": "kube-system", "serviceaccount": {"name": "deployment-controller", "uid": "u"}}}))
        .unwrap();
    let none: &[(&str, &str)] = &[];
    let rounds = 2000;
    let start = Instant::now();
    for _ in 0..rounds {
        let credentials = Credentials {
            peer_certificates: &[],
            bearer: Some(&token),
            headers: &none,
            path: "/",
            audiences: &[],
        };
        let found = authenticator.authenticate(&credentials, at(0)).unwrap();
        let asked = ResourceAttributes {
            group: "apps",
            version: "v1",
            resource: "replicasets",
            namespace: "default",
            ..Default::default()
        };
        let decision = authorizer.authorize(&Attributes::of_resource(&found.user, "create", asked));
        assert!(black_box(decision).is_allowed());
    }
    let each = start.elapsed() / rounds;
    println!("authenticate and authorize: {each:?}");
    assert!(each < Duration::from_millis(1), "{each:?}");
}
