//! The Rust client `kube`, which is kin to none of Kubernetes' own: its types, its watches and its
//! discovery.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Selector};
use kube::discovery::Discovery;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Client, Config, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::kube::KubeServer;

/// What a scenario may take.
const LIMIT: Duration = Duration::from_secs(120);

fn scenario<F: Future<Output = ()>>(run: impl FnOnce(Client, KubeServer) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = KubeServer::start();
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let client = client(&server).await;
        tokio::time::timeout(LIMIT, run(client, server)).await.expect("the scenario ends in time");
    });
}

async fn client(server: &KubeServer) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn typed<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn map(name: &str, data: &str) -> ConfigMap {
    typed(json!({"metadata": {"name": name, "labels": {"app": "a"}}, "data": {"k": data}}))
}

fn data(map: &ConfigMap) -> &str {
    map.data.as_ref().and_then(|data| data.get("k")).map_or("", String::as_str)
}

/// The code and the reason of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    match result.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_are_made_changed_and_taken_away() {
    scenario(async |client, _server| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let post = PostParams::default();
        assert!(maps.get_opt("a").await.unwrap().is_none());
        let first = maps.create(&post, &map("a", "1")).await.unwrap();
        assert_eq!(refused(maps.create(&post, &map("a", "1")).await), (409, "AlreadyExists".to_owned()));
        let bad = map("A b", "1");
        assert_eq!(refused(maps.create(&post, &bad).await), (422, "Invalid".to_owned()));

        // Somebody is faster: the update is refused, and goes through on what is there now.
        let merge = Patch::Merge(json!({"data": {"other": "x"}}));
        let second = maps.patch("a", &PatchParams::default(), &merge).await.unwrap();
        let mut stale = first.clone();
        stale.data.get_or_insert_default().insert("k".to_owned(), "2".to_owned());
        assert_eq!(refused(maps.replace("a", &post, &stale).await), (409, "Conflict".to_owned()));
        let entry = maps.entry("a").await.unwrap().and_modify(|map| {
            map.data.get_or_insert_default().insert("k".to_owned(), "2".to_owned());
        });
        let mut entry = entry.or_insert(|| panic!("it is there"));
        entry.commit(&post).await.unwrap();
        let third = entry.into_object();
        assert_eq!((data(&third), third.data.as_ref().unwrap().len()), ("2", 2));
        assert_ne!(third.resource_version(), second.resource_version());
        assert_eq!(third.uid(), first.uid());

        for at in 0..25 {
            maps.create(&post, &map(&format!("m-{at}"), "x")).await.unwrap();
        }
        let mut page = ListParams::default()
            .labels_from(&Selector::from_iter([("app".to_owned(), "a".to_owned())]))
            .limit(10);
        let mut names = Vec::new();
        loop {
            let list = maps.list(&page).await.unwrap();
            assert!(list.items.len() <= 10);
            names.extend(list.items.iter().map(|map| map.name_any()));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        assert_eq!(names.len(), 26);
        let named = maps.list(&ListParams::default().fields("metadata.name=m-7")).await.unwrap();
        assert_eq!(named.items.len(), 1);
        let metadata = maps.list_metadata(&ListParams::default()).await.unwrap();
        assert!(metadata.items.len() >= 26);

        let other = Preconditions { uid: Some("another".to_owned()), ..Preconditions::default() };
        let refusal = maps.delete("a", &DeleteParams::default().preconditions(other)).await;
        assert_eq!(refused(refusal), (409, "Conflict".to_owned()));
        maps.delete("a", &DeleteParams::default()).await.unwrap();
        assert_eq!(refused(maps.get("a").await), (404, "NotFound".to_owned()));
        maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app=a"))
            .await
            .unwrap();
        assert!(maps.list(&ListParams::default().labels("app=a")).await.unwrap().items.is_empty());
    });
}

#[test]
fn watches_go_on_after_a_crash() {
    for streaming in [false, true] {
        scenario(async move |client, mut server| {
            let maps: Api<ConfigMap> = Api::default_namespaced(client);
            let post = PostParams::default();
            for at in 0..3 {
                maps.create(&post, &map(&format!("m-{at}"), "1")).await.unwrap();
            }
            let config = watcher::Config::default().labels("app=a").page_size(2);
            let config = if streaming { config.streaming_lists() } else { config };
            let (reader, writer) = reflector::store();
            let events = reflector(writer, kube::runtime::watcher(maps.clone(), config));
            let events = events.default_backoff();
            pin_mut!(events);
            let mut seen = Vec::new();
            while !matches!(seen.last(), Some(Event::InitDone)) {
                seen.push(events.try_next().await.unwrap().unwrap());
            }
            assert_eq!(seen.len(), 5, "{seen:?}");
            assert_eq!(reader.state().len(), 3);

            maps.patch("m-0", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2"}})))
                .await
                .unwrap();
            maps.delete("m-1", &DeleteParams::default()).await.unwrap();
            let changed = events.try_next().await.unwrap().unwrap();
            assert!(matches!(&changed, Event::Apply(map) if data(map) == "2"), "{changed:?}");
            let deleted = events.try_next().await.unwrap().unwrap();
            assert!(matches!(&deleted, Event::Delete(map) if map.name_any() == "m-1"), "{deleted:?}");

            // The server dies and comes back: the watch resumes where it was.
            server.crash_and_restart();
            let again = Api::<ConfigMap>::default_namespaced(self::client(&server).await);
            again.create(&post, &map("m-9", "9")).await.unwrap();
            let mut inits = 0;
            loop {
                match events.next().await.unwrap() {
                    Ok(Event::Apply(map) | Event::InitApply(map)) if map.name_any() == "m-9" => break,
                    Ok(Event::Init) => inits += 1,
                    Ok(_) | Err(_) => {}
                }
            }
            assert_eq!(inits, 0, "the watch began anew");
            let mut names: Vec<String> = reader.state().iter().map(|map| map.name_any()).collect();
            names.sort();
            assert_eq!(names, ["m-0", "m-2", "m-9"]);
        });
    }
}

#[test]
fn appliers_share_an_object() {
    scenario(async |client, _server| {
        let deployments: Api<Deployment> = Api::default_namespaced(client);
        let config = |image: &str, replicas: Option<i32>| {
            let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "main", "image": image, "env": [{"name": "A", "value": "1"}]}]}}}});
            if let Some(replicas) = replicas {
                config["spec"]["replicas"] = json!(replicas);
            }
            config
        };
        let apply = PatchParams::apply;
        let one = apply("one");
        deployments.patch("web", &one, &Patch::Apply(config("web:1", Some(0)))).await.unwrap();
        let scaler =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0, "paused": true}});
        let shared = deployments.patch("web", &apply("two"), &Patch::Apply(&scaler)).await.unwrap();
        // The controller, which writes the status, is no applier.
        let appliers = shared.managed_fields().iter().filter(|one| one.operation.as_deref() == Some("Apply"));
        assert_eq!(appliers.count(), 2);

        let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}});
        let conflict = deployments.patch("web", &apply("three"), &Patch::Apply(&other)).await.unwrap_err();
        let kube::Error::Api(status) = conflict else { panic!("{conflict:?}") };
        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
        let causes = &status.details.as_ref().unwrap().causes;
        assert!(causes.iter().all(|cause| cause.field == ".spec.replicas"), "{causes:?}");
        assert_eq!(causes.len(), 2);
        let forced = deployments.patch("web", &apply("three").force(), &Patch::Apply(&other)).await.unwrap();
        assert_eq!(forced.spec.as_ref().unwrap().replicas, Some(3));

        // Who no longer names a field gives it up; nobody else has it, so it goes.
        let mut less = config("web:2", None);
        less["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("env");
        let left = deployments.patch("web", &one, &Patch::Apply(less)).await.unwrap();
        let spec = left.spec.unwrap();
        assert_eq!((spec.replicas, spec.paused), (Some(3), Some(true)));
        let container = &spec.template.spec.unwrap().containers[0];
        assert_eq!((container.image.as_deref(), container.env.as_ref().map(Vec::len)), (Some("web:2"), None));
        let dry = deployments
            .patch("web", &one.clone().dry_run(), &Patch::Apply(config("web:9", None)))
            .await
            .unwrap();
        assert_ne!(dry.resource_version(), None);
        let now = deployments.get("web").await.unwrap();
        assert_eq!(now.spec.unwrap().template.spec.unwrap().containers[0].image.as_deref(), Some("web:2"));
        let twice = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
            {"name": "main", "image": "a"}, {"name": "main", "image": "b"}]}}}});
        assert_eq!(refused(deployments.patch("web", &one, &Patch::Apply(twice)).await).0, 400);
    });
}

fn definition() -> CustomResourceDefinition {
    typed(
        json!({"metadata": {"name": "gadgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList", "shortNames": ["gd"]},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 2, "maximum": 9}}},
                "status": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}}),
    )
}

#[test]
fn custom_kinds_are_discovered() {
    scenario(async |client, _server| {
        let all = Discovery::new(client.clone()).run().await.unwrap();
        assert!(!all.has_group("example.com"));
        let names: Vec<&str> = all.get("apps").unwrap().versions().collect();
        assert_eq!(names, ["v1"]);
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions.create(&PostParams::default(), &definition()).await.unwrap();
        let established = conditions::is_crd_established();
        await_condition(definitions.clone(), "gadgets.example.com", established).await.unwrap();

        let gvk = GroupVersionKind::gvk("example.com", "v1", "Gadget");
        let found = Discovery::new(client.clone()).filter(&["example.com"]).run_aggregated().await.unwrap();
        let (resource, capabilities) = found.resolve_gvk(&gvk).expect("aggregated discovery knows it");
        assert_eq!(resource.plural, "gadgets");
        assert!(capabilities.subresources.iter().any(|(part, _)| part.plural == "status"));
        let (pinned, _) = kube::discovery::pinned_kind(&client, &gvk).await.unwrap();
        assert_eq!(pinned, resource);

        let gadgets: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
        let small = DynamicObject::new("a", &resource).data(json!({"spec": {}}));
        let made = gadgets.create(&PostParams::default(), &small).await.unwrap();
        assert_eq!(made.data["spec"]["size"], 2);
        assert_eq!(made.types.as_ref().unwrap().kind, "Gadget");
        let large = DynamicObject::new("b", &resource).data(json!({"spec": {"size": 10}}));
        assert_eq!(
            refused(gadgets.create(&PostParams::default(), &large).await),
            (422, "Invalid".to_owned())
        );
        let status = Patch::Merge(json!({"status": {"size": 7}, "spec": {"size": 1}}));
        let told = gadgets.patch_status("a", &PatchParams::default(), &status).await.unwrap();
        assert_eq!((&told.data["status"]["size"], &told.data["spec"]["size"]), (&json!(7), &json!(2)));
        let five = Patch::Merge(json!({"spec": {"replicas": 5}}));
        let scaled = gadgets.patch_scale("a", &PatchParams::default(), &five).await.unwrap();
        assert_eq!((scaled.spec.unwrap().replicas, scaled.status.unwrap().replicas), (Some(5), 7));

        let uid = made.uid().unwrap();
        definitions.delete("gadgets.example.com", &DeleteParams::default()).await.unwrap();
        await_condition(gadgets.clone(), "a", conditions::is_deleted(&uid)).await.ok();
        let gone = async {
            while definitions.get_opt("gadgets.example.com").await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        gone.await;
        assert_eq!(refused(gadgets.get("a").await).0, 404);
    });
}

#[test]
fn parts_of_objects_and_what_they_own() {
    scenario(async |client, _server| {
        let post = PostParams::default();
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let web: Deployment = typed(
            json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}}}),
        );
        let web = deployments.create(&post, &web).await.unwrap();
        let mut scale = deployments.get_scale("web").await.unwrap();
        assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(2));
        scale.spec.get_or_insert_default().replicas = Some(4);
        let scaled = deployments.replace_scale("web", &post, &scale).await.unwrap();
        assert_eq!(scaled.spec.unwrap().replicas, Some(4));
        let status = Patch::Merge(
            json!({"status": {"replicas": 4, "observedGeneration": 9}, "spec": {"replicas": 1}}),
        );
        let told = deployments.patch_status("web", &PatchParams::default(), &status).await.unwrap();
        assert_eq!((told.status.unwrap().replicas, told.spec.unwrap().replicas), (Some(4), Some(4)));
        let restarted = deployments.restart("web").await.unwrap();
        assert!(restarted.metadata.generation > web.metadata.generation);

        let nodes: Api<Node> = Api::all(client.clone());
        nodes.create(&post, &typed(json!({"metadata": {"name": "n"}}))).await.unwrap();
        assert_eq!(nodes.cordon("n").await.unwrap().spec.unwrap().unschedulable, Some(true));
        assert_eq!(nodes.uncordon("n").await.unwrap().spec.unwrap().unschedulable, None);
        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        pods.create(
            &post,
            &typed(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})),
        )
        .await
        .unwrap();
        pods.evict("p", &EvictParams::default()).await.unwrap();
        assert!(pods.get_opt("p").await.unwrap().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()));

        // Foreground: the owner waits for what it owns. Orphan: what it owns stays.
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        for (policy, stays) in [
            (PropagationPolicy::Foreground, false),
            (PropagationPolicy::Background, false),
            (PropagationPolicy::Orphan, true),
        ] {
            let owner = maps.create(&post, &map("owner", "")).await.unwrap();
            let mut owned = map("owned", "");
            owned.metadata.owner_references =
                Some(vec![typed(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
                "uid": owner.uid().unwrap(), "blockOwnerDeletion": true, "controller": true}))]);
            let owned = maps.create(&post, &owned).await.unwrap();
            let how = DeleteParams { propagation_policy: Some(policy.clone()), ..DeleteParams::default() };
            maps.delete("owner", &how).await.unwrap();
            await_condition(maps.clone(), "owner", conditions::is_deleted(&owner.uid().unwrap()))
                .await
                .unwrap();
            if stays {
                let left = maps.get("owned").await.unwrap();
                assert!(left.owner_references().is_empty(), "{left:?}");
                assert_eq!(left.uid(), owned.uid());
                assert_eq!(left.labels(), &BTreeMap::from([("app".to_owned(), "a".to_owned())]));
            } else {
                await_condition(maps.clone(), "owned", conditions::is_deleted(&owned.uid().unwrap()))
                    .await
                    .unwrap();
            }
        }
    });
}
