//! Lists: chunks, selectors, revisions.

use serde_json::json;
use store::Store;

use crate::rig::{Rig, names, version};
use crate::writes::pod;

async fn five(rig: &Rig) -> u64 {
    let mut last = 0;
    for name in ["a", "b", "c", "d", "e"] {
        let object = json!({"metadata": {"name": name, "labels": {"vowel": (name == "a" || name == "e").to_string()}}});
        last = version(&rig.create("configmaps default", object).await.expect("it works").to_value());
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_one_revision() {
    let rig = Rig::new().await;
    five(&rig).await;
    let first = rig.list("configmaps default", &[("limit", "2")]).await.unwrap();
    assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(3)));
    assert_eq!((first.gvk.kind.as_str(), first.typed_items), ("ConfigMapList", false));
    // What happens between the pages is not seen.
    rig.delete("configmaps default d").await.unwrap();
    rig.create("configmaps default", json!({"metadata": {"name": "cc"}})).await.unwrap();
    let query = [("limit", "2"), ("continue", first.continue_token.as_str())];
    let second = rig.list("configmaps default", &query).await.unwrap();
    assert_eq!(
        (names(&second), second.remaining, second.revision),
        (vec!["c", "d"], Some(1), first.revision)
    );
    let query = [("limit", "2"), ("continue", second.continue_token.as_str())];
    let third = rig.list("configmaps default", &query).await.unwrap();
    assert_eq!((names(&third), third.remaining, third.continue_token.as_str()), (vec!["e"], None, ""));

    // Also a page of what has not changed since ends with its revision.
    let fresh = rig.list("configmaps default", &[("limit", "2")]).await.unwrap();
    rig.create("configmaps kube-system", json!({"metadata": {"name": "other"}})).await.unwrap();
    let second = [("limit", "2"), ("continue", fresh.continue_token.as_str())];
    let far = [("resourceVersion", "1"), ("resourceVersionMatch", "Exact")];
    rig.list("secrets default", &far).await.unwrap();
    rig.store.compact(rig.store.revision()).unwrap();
    rig.list("configmaps default", &second).await.unwrap_err();
    rig.list("secrets default", &far).await.unwrap_err();
    let gone = rig.list("configmaps default", &query).await.unwrap_err();
    assert_eq!((gone.code, gone.reason), (410, "Expired"));
    assert!(gone.message.starts_with("The provided continue parameter is too old"));
    let token = gone.to_value()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = rig.list("configmaps default", &[("continue", &token)]).await.unwrap();
    assert_eq!(names(&rest), ["e"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_may_be_asked_for() {
    let rig = Rig::new().await;
    let then = five(&rig).await;
    rig.delete("configmaps default a").await.unwrap();
    let at = then.to_string();
    let exact = [("resourceVersion", at.as_str()), ("resourceVersionMatch", "Exact")];
    let list = rig.list("configmaps default", &exact).await.unwrap();
    assert_eq!((names(&list), list.revision), (vec!["a", "b", "c", "d", "e"], then));
    // The newest state is in the cache after this; that "not older than" shows it is then certain.
    rig.list("configmaps default", &[]).await.unwrap();
    let newer = [("resourceVersion", at.as_str()), ("resourceVersionMatch", "NotOlderThan")];
    assert_eq!(names(&rig.list("configmaps default", &newer).await.unwrap()), ["b", "c", "d", "e"]);
    assert_eq!(rig.list("configmaps default", &[("resourceVersion", "0")]).await.unwrap().items.len(), 4);
    for (query, message) in [
        (
            vec![("resourceVersionMatch", "Exact")],
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided",
        ),
        (
            vec![("fieldSelector", "spec.x=y")],
            "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        ),
    ] {
        let status = rig.list("configmaps default", &query).await.unwrap_err();
        assert!(status.message.contains(message), "{}", status.message);
    }
    let future = (then + 1_000_000).to_string();
    let status = rig.list("configmaps default", &[("resourceVersion", &future)]).await.unwrap_err();
    assert_eq!((status.code, status.reason), (504, "Timeout"));
    assert!(status.message.starts_with("Too large resource version"));
    rig.store.compact(rig.store.revision()).unwrap();
    let gone = rig.list("configmaps default", &exact).await.unwrap_err();
    assert_eq!(gone.message, "The resourceVersion for the provided list is too old.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_others_hold_nobody_up() {
    let rig = Rig::new().await;
    five(&rig).await;
    rig.store.txn(store::Txn::put("/elsewhere", "x")).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(rig.list("configmaps default", &[]).await.unwrap().items.len(), 5);
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_choose() {
    let rig = Rig::new().await;
    five(&rig).await;
    rig.create("configmaps kube-system", json!({"metadata": {"name": "a"}})).await.unwrap();
    for (target, query, expected) in [
        ("configmaps default", vec![("labelSelector", "vowel=true")], vec!["a", "e"]),
        ("configmaps default", vec![("labelSelector", "vowel!=true")], vec!["b", "c", "d"]),
        ("configmaps default", vec![("fieldSelector", "metadata.name=c")], vec!["c"]),
        ("configmaps", vec![("fieldSelector", "metadata.namespace=kube-system")], vec!["a"]),
        ("configmaps", vec![("fieldSelector", "metadata.name=a")], vec!["a", "a"]),
    ] {
        assert_eq!(names(&rig.list(target, &query).await.unwrap()), expected, "{query:?}");
    }
    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("n1");
    rig.create("pods default", bound).await.unwrap();
    rig.create("pods default", pod("unbound")).await.unwrap();
    let on_node = rig.list("pods", &[("fieldSelector", "spec.nodeName=n1")]).await.unwrap();
    assert_eq!(names(&on_node), ["bound"]);
    let limited =
        rig.list("configmaps default", &[("labelSelector", "vowel=true"), ("limit", "1")]).await.unwrap();
    assert_eq!((names(&limited), limited.remaining), (vec!["a"], None));
    let rest = rig
        .list("configmaps default", &[("labelSelector", "vowel=true"), ("continue", &limited.continue_token)])
        .await
        .unwrap();
    assert_eq!(names(&rest), ["e"]);
}
