//! Our own client and cache, over TLS and in the process.

use std::sync::Arc;
use std::time::Duration;

use apiserver::LocalApi;
use apiserver::server::server_context;
use client::http::{Credentials, Endpoint, Identity, Trust};
use client::{Api, Cache, Call, Change, HttpClient, Mirror, PatchType};
use futures_util::StreamExt;
use kube_object::resource::{GroupResource, GroupVersionResource};
use serde_json::json;

use crate::http::Front;

fn config_maps() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "configmaps")
}

fn remote(front: &Front) -> Arc<dyn Api> {
    let credentials = Credentials {
        trust: Trust::Authorities(front.pki.server_ca.certificate.clone().into_bytes()),
        identity: Some(Identity {
            certificate: front.pki.admin.certificate.clone(),
            key: front.pki.admin.key.clone(),
        }),
        token: None,
    };
    let endpoint = Endpoint::new(&format!("https://{}", front.address), &credentials, "test/1");
    Arc::new(HttpClient::new(endpoint.expect("an endpoint")))
}

async fn verbs(api: &dyn Api) {
    let maps = config_maps();
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "y"}}});
    let made = api.call(Call::create(&maps, "default", object.clone())).await.expect("a new object");
    assert_eq!(api.call(Call::create(&maps, "default", object)).await.expect_err("it is there").code, 409);
    let mut changed = made.clone();
    changed["data"] = json!({"k": "v"});
    let changed = api.call(Call::update(&maps, changed)).await.expect("an update");
    let stale = api.call(Call::update(&maps, made)).await.expect_err("a stale update");
    assert_eq!((stale.code, stale.reason), (409, "Conflict"));
    let patch = Call::patch(&maps, "default", "a", PatchType::Merge, json!({"data": {"k": "w"}}));
    assert_eq!(api.call(patch).await.expect("a patch")["data"]["k"], "w");
    let list = Call::list(&maps, "default").with(|options| options.label_selector = Some("x=y".to_owned()));
    let list = api.call(list).await.expect("a list");
    assert_eq!((&list["kind"], list["items"].as_array().map(Vec::len)), (&json!("ConfigMapList"), Some(1)));
    let delete = Call::delete(&maps, "default", "a")
        .with(|options| options.preconditions.uid = changed["metadata"]["uid"].as_str().map(str::to_owned));
    assert_eq!(api.call(delete).await.expect("a deletion")["status"], "Success");
    let gone = api.call(Call::get(&maps, "default", "a")).await.expect_err("it is gone");
    assert_eq!((gone.code, gone.message.as_str()), (404, "configmaps \"a\" not found"));
}

async fn next(changes: &mut client::BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("in time").expect("a change")
}

async fn mirrors(api: &dyn Api, mirror: &dyn Mirror) {
    let maps = GroupResource::new("", "configmaps");
    mirror.synced().await;
    let mut changes = mirror.changes(&maps);
    assert!(matches!(next(&mut changes).await, Change::Resync));
    let object = json!({"metadata": {"name": "seen"}});
    api.call(Call::create(&config_maps(), "default", object)).await.expect("a new object");
    let Change::Set { old: None, new } = next(&mut changes).await else { unreachable!("it is new") };
    assert_eq!(&**new.key(), "default/seen");
    assert_eq!(mirror.get(&maps, "default", "seen").expect("it is there")["metadata"]["name"], "seen");
    assert!(mirror.items(&maps, Some("default")).iter().any(|item| item.name() == "seen"));
    assert!(mirror.items(&maps, Some("nowhere")).is_empty());
    api.call(Call::delete(&config_maps(), "default", "seen")).await.expect("a deletion");
    let Change::Gone { old } = next(&mut changes).await else { unreachable!("it is gone") };
    assert_eq!(old.name(), "seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_to_the_api_do_the_same() {
    let front = Front::new().await;
    let registry = Arc::clone(front.server.registry());
    let local: Arc<dyn Api> = Arc::new(LocalApi::new(&registry, server_context().user, "test"));
    let remote = remote(&front);
    verbs(&*local).await;
    verbs(&*remote).await;
    mirrors(&*local, &**front.server.cache()).await;
    let cache = Cache::start(&remote, &[config_maps()]);
    mirrors(&*remote, &*cache).await;
    front.end().await;
}
