//! Protobuf: every built-in kind goes in as protobuf and comes out as JSON, and the other way
//! round; lists, frames of watches, statuses and options too.
//!
//! The bytes are also read and written by types that another project generated from upstream's
//! descriptions, so that both sides do not share one mistake.

use http_body_util::BodyExt as _;
use kube_object::protobuf::{decode, encode};
use prost::Message;
use serde_json::{Value, json};
use wire::connection::{Answer, Pool};
use wire::objects;
use wire::seeds::NAMESPACE;

use crate::forms::{Form, get, has, served};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const FORM: Form = Form {
    media_type: PROTOBUF,
    encode: |value| encode(value).unwrap(),
    decode: |bytes| decode(bytes).unwrap(),
    is_exact: false,
};

async fn send(pool: &Pool, method: &str, path: &str, body: Vec<u8>) -> Answer {
    pool.send(method, path, &[("content-type", PROTOBUF), ("accept", PROTOBUF)], body).await.unwrap()
}

#[test]
fn every_kind_goes_in_and_comes_out() {
    FORM.every_kind();
}

#[test]
fn watches_are_framed() {
    served(async |pool| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
        let accept = format!("{PROTOBUF};stream=watch");
        let response =
            pool.open("GET", &format!("{path}?watch=true"), &[("accept", &accept)], "").await.unwrap();
        assert_eq!(response.headers()["content-type"], accept.as_str());
        let mut body = response.into_body();
        let secret = objects::of("v1", "Secret").unwrap();
        assert_eq!(send(pool, "POST", &path, encode(&secret).unwrap()).await.code, 201);
        let patch = json!({"data": {"a": null}}).to_string();
        let headers = [("content-type", "application/merge-patch+json")];
        assert_eq!(pool.send("PATCH", &format!("{path}/filled"), &headers, patch).await.unwrap().code, 200);
        let options = encode(&json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": "another"}}));
        let refused = send(pool, "DELETE", &format!("{path}/filled"), options.unwrap()).await;
        assert_eq!(refused.code, 409);
        let status = decode(&refused.body).unwrap();
        assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("Conflict")));
        assert_eq!(status["details"]["name"], "filled");
        let options = encode(&json!({"apiVersion": "v1", "kind": "DeleteOptions"})).unwrap();
        assert_eq!(send(pool, "DELETE", &format!("{path}/filled"), options).await.code, 200);

        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        while events.len() < 3 {
            let frame = body.frame().await.unwrap().unwrap();
            bytes.extend_from_slice(frame.data_ref().unwrap());
            while let Some(length) = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
                && bytes.len() >= 4 + length
            {
                let event =
                    k8s_pb::apimachinery::pkg::apis::meta::v1::WatchEvent::decode(&bytes[4..4 + length])
                        .unwrap();
                let object = decode(event.object.unwrap().raw()).unwrap();
                if object["metadata"]["name"] == "filled" {
                    events.push((event.r#type.unwrap(), object["data"].clone()));
                }
                bytes.drain(..4 + length);
            }
        }
        let both = json!({"a": "AAH/", "b": ""});
        let one = json!({"b": ""});
        assert_eq!(
            events,
            [("ADDED".to_owned(), both), ("MODIFIED".to_owned(), one.clone()), ("DELETED".to_owned(), one)]
        );
    });
}

#[test]
fn refuses_what_it_cannot_read_or_write() {
    served(async |pool| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
        let sound = encode(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cut"},
            "data": {"key": "value"}}))
        .unwrap();
        // Cut anywhere, it is refused, or it has become another sound message.
        for end in 0..sound.len() {
            let answer = send(pool, "POST", &format!("{path}?dryRun=All"), sound[..end].to_vec()).await;
            assert!((400..500).contains(&answer.code) || end > sound.len() - 6, "{end}: {}", answer.code);
            let status =
                if answer.code >= 400 { decode(&answer.body).unwrap() } else { json!({"kind": "Status"}) };
            assert_eq!(status["kind"], "Status");
        }
        // A field of tomorrow is passed over.
        let mut tomorrow = sound.clone();
        tomorrow.extend([0xfa, 0x3e, 3, b'n', b'e', b'w']);
        assert_eq!(send(pool, "POST", &path, tomorrow).await.code, 201);

        let table = format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1");
        assert_eq!(get(pool, &path, &table).await.code, 406);
        let either = get(pool, &path, &format!("{table},application/json;as=Table;g=meta.k8s.io;v=v1")).await;
        assert_eq!(either.json().unwrap()["kind"], "Table");
        let boxes = format!("/apis/example.com/v1/namespaces/{NAMESPACE}/boxes");
        assert_eq!(get(pool, &boxes, PROTOBUF).await.code, 406);
        assert_eq!(get(pool, &boxes, &format!("{PROTOBUF},{JSON}")).await.code, 200);
        let headers = [("content-type", PROTOBUF)];
        assert_eq!(pool.send("POST", &boxes, &headers, sound).await.unwrap().code, 415);
        let missing = get(pool, &format!("{path}/none"), PROTOBUF).await;
        assert_eq!(
            (missing.code, decode(&missing.body).unwrap()["reason"].clone()),
            (404, json!("NotFound"))
        );
    });
}

/// An object's bytes, read and written by generated types: no field that they know is lost.
fn through<M: Message + Default + PartialEq>(object: &Value) -> Value {
    use k8s_pb::apimachinery::pkg::runtime::Unknown;
    let bytes = encode(object).unwrap();
    let mut unknown = Unknown::decode(&bytes[4..]).unwrap();
    let message = M::decode(unknown.raw()).unwrap();
    unknown.raw = Some(message.encode_to_vec());
    let mut again = b"k8s\0".to_vec();
    again.extend(unknown.encode_to_vec());
    decode(&again).unwrap()
}

macro_rules! generated {
    ($($api_version:literal { $($module:ident)::+ } $($kind:ident)*;)*) => {
        fn by_others(api_version: &str, kind: &str, object: &Value) -> Option<Value> {
            match api_version {
                $($api_version => {
                    use k8s_pb::$($module)::+ as module;
                    match kind {
                        $(stringify!($kind) => Some(through::<module::$kind>(object)),)*
                        _ => None,
                    }
                })*
                _ => None,
            }
        }
    };
}

generated! {
    "v1" { api::core::v1 } ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod
        PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
    "apps/v1" { api::apps::v1 } ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
    "batch/v1" { api::batch::v1 } CronJob Job;
    "autoscaling/v1" { api::autoscaling::v1 } HorizontalPodAutoscaler;
    "autoscaling/v2" { api::autoscaling::v2 } HorizontalPodAutoscaler;
    "policy/v1" { api::policy::v1 } PodDisruptionBudget;
    "rbac.authorization.k8s.io/v1" { api::rbac::v1 } ClusterRole ClusterRoleBinding Role RoleBinding;
    "networking.k8s.io/v1" { api::networking::v1 } Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR;
    "discovery.k8s.io/v1" { api::discovery::v1 } EndpointSlice;
    "events.k8s.io/v1" { api::events::v1 } Event;
    "storage.k8s.io/v1" { api::storage::v1 } CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass;
    "scheduling.k8s.io/v1" { api::scheduling::v1 } PriorityClass;
    "node.k8s.io/v1" { api::node::v1 } RuntimeClass;
    "coordination.k8s.io/v1" { api::coordination::v1 } Lease;
    "admissionregistration.k8s.io/v1" { api::admissionregistration::v1 } MutatingWebhookConfiguration
        ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
    "certificates.k8s.io/v1" { api::certificates::v1 } CertificateSigningRequest;
    "flowcontrol.apiserver.k8s.io/v1" { api::flowcontrol::v1 } FlowSchema PriorityLevelConfiguration;
    "resource.k8s.io/v1" { api::resource::v1 } DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
    "apiextensions.k8s.io/v1" { apiextensions_apiserver::pkg::apis::apiextensions::v1 } CustomResourceDefinition;
    "apiregistration.k8s.io/v1" { kube_aggregator::pkg::apis::apiregistration::v1 } APIService;
}

#[test]
fn generated_types_read_and_write_the_same() {
    let mut compared = 0;
    for object in objects::all().unwrap() {
        let text = |name: &str| object[name].as_str().unwrap().to_owned();
        let Some(found) = by_others(&text("apiVersion"), &text("kind"), &object) else { continue };
        has(&found, &object, &text("kind"));
        has(&decode(&encode(&object).unwrap()).unwrap(), &object, &text("kind"));
        compared += 1;
    }
    assert!(compared > 55, "only {compared}");
}
