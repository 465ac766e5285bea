"""What the Python client makes of the server; each function is one test."""

import json
import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

NAMESPACE = "python"


def refused(status, reason, call, *args, **kwargs):
    """The call must fail with this code and reason; gives back the Status."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        body = json.loads(error.body)
        assert (error.status, body["reason"]) == (status, reason), (error.status, body)
        return body
    raise AssertionError(f"{call.__name__} was not refused with {status}")


def config_map(name, data, **labels):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels or None), data=data)


def deployment(name):
    container = client.V1Container(name="web", image="web:1", ports=[client.V1ContainerPort(container_port=80)])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": name}), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=2, selector=client.V1LabelSelector(match_labels={"app": name}), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def crud():
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    made = core.create_namespaced_config_map(NAMESPACE, config_map("a", {"k": "1"}, tier="x"))
    assert made.metadata.uid and made.metadata.resource_version and made.metadata.creation_timestamp
    refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, config_map("a", {}))
    read = core.read_namespaced_config_map("a", NAMESPACE)
    assert read.data == {"k": "1"} and read.metadata.uid == made.metadata.uid
    read.data["k"] = "2"
    replaced = core.replace_namespaced_config_map("a", NAMESPACE, read)
    assert replaced.data == {"k": "2"}
    refused(409, "Conflict", core.replace_namespaced_config_map, "a", NAMESPACE, read)
    refused(404, "NotFound", core.read_namespaced_config_map, "none", NAMESPACE)
    bad = refused(422, "Invalid", core.create_namespaced_config_map, NAMESPACE, config_map("Not_A_Name", {}))
    assert bad["details"]["causes"][0]["field"] == "metadata.name", bad

    for name in ("b", "c", "d"):
        core.create_namespaced_config_map(NAMESPACE, config_map(name, {}, tier="y"))
    assert [m.metadata.name for m in core.list_namespaced_config_map(NAMESPACE, label_selector="tier=y").items] == ["b", "c", "d"]
    page = core.list_namespaced_config_map(NAMESPACE, label_selector="tier=y", limit=2)
    assert len(page.items) == 2 and page.metadata._continue
    rest = core.list_namespaced_config_map(NAMESPACE, label_selector="tier=y", limit=2, _continue=page.metadata._continue)
    assert [m.metadata.name for m in page.items + rest.items] == ["b", "c", "d"]

    web = apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    assert web.spec.strategy.type == "RollingUpdate" and web.spec.template.spec.restart_policy == "Always"
    assert web.metadata.generation == 1
    assert apps.read_namespaced_deployment_scale("web", NAMESPACE).spec.replicas == 2
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 3}})
    web = apps.read_namespaced_deployment("web", NAMESPACE)
    assert web.spec.replicas == 3 and web.metadata.generation == 2

    core.delete_namespaced_config_map("a", NAMESPACE)
    refused(404, "NotFound", core.delete_namespaced_config_map, "a", NAMESPACE)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="tier=y")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="tier=y").items


def watches():
    core = client.CoreV1Api()
    # The map that every namespace is given comes before what is watched.
    for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, timeout_seconds=50):
        if event["object"].metadata.name == "kube-root-ca.crt":
            break
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NAMESPACE, config_map("seen", {"n": "0"}, watched="yes"))
        core.create_namespaced_config_map(NAMESPACE, config_map("unseen", {}))
        core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"n": "1"}})
        core.delete_namespaced_config_map("seen", NAMESPACE)

    thread = threading.Thread(target=change)
    thread.start()
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, label_selector="watched=yes", timeout_seconds=50
    ):
        seen.append((event["type"], event["object"].data["n"]))
        if event["type"] == "DELETED":
            stream.stop()
    thread.join()
    assert seen == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")], seen

    # The same again, from the revision of old: nothing is lost.
    again = []
    for event in stream.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=50):
        again.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            stream.stop()
    assert again == [("ADDED", "seen"), ("ADDED", "unseen"), ("MODIFIED", "seen"), ("DELETED", "seen")], again
    # One that ends by itself ends without an error.
    assert not [e for e in stream.stream(core.list_namespaced_secret, NAMESPACE, timeout_seconds=1)]


def patches():
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    # Strategic: containers are merged by name.
    second = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    web = patch(apps.patch_namespaced_deployment, "web", second, "application/strategic-merge-patch+json")
    assert sorted(c.name for c in web.spec.template.spec.containers) == ["side", "web"]
    # Merge: the list is replaced.
    web = patch(apps.patch_namespaced_deployment, "web", second, "application/merge-patch+json")
    assert [c.name for c in web.spec.template.spec.containers] == ["side"]
    # JSON.
    core.create_namespaced_config_map(NAMESPACE, config_map("m", {"a": "1", "b": "2"}))
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "remove", "path": "/data/b"},
    ]
    changed = patch(core.patch_namespaced_config_map, "m", steps, "application/json-patch+json")
    assert changed.data == {"a": "9"}, changed.data
    refused(422, "Invalid", patch, core.patch_namespaced_config_map, "m", steps, "application/json-patch+json")
    changed = core.patch_namespaced_config_map("m", NAMESPACE, {"data": {"a": None}}, dry_run="All")
    assert not changed.data and core.read_namespaced_config_map("m", NAMESPACE).data == {"a": "9"}


def patch(call, name, body, kind, **options):
    return call(name, NAMESPACE, body, _content_type=kind, **options)


def apply():
    core = client.CoreV1Api()
    kind = "application/apply-patch+yaml"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {"a": "1", "b": "1"}}
    call = core.patch_namespaced_config_map
    made = patch(call, "owned", body, kind, field_manager="one")
    entry = made.metadata.managed_fields[0]
    assert (entry.manager, entry.operation) == ("one", "Apply"), entry
    body["data"] = {"a": "2"}
    conflict = refused(409, "Conflict", patch, call, "owned", body, kind, field_manager="two")
    assert conflict["details"]["causes"][0]["field"] == ".data.a", conflict
    patch(call, "owned", body, kind, field_manager="two", force=True)
    body["data"] = {}
    left = patch(call, "owned", body, kind, field_manager="one")
    # What "one" no longer names and nobody else owns goes; what "two" took stays.
    assert left.data == {"a": "2"}, left.data


def definition():
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList"},
        },
    }


def establish():
    extensions = client.ApiextensionsV1Api()
    extensions.create_custom_resource_definition(definition())
    stream = watch.Watch()
    for event in stream.stream(extensions.list_custom_resource_definition, timeout_seconds=50):
        conditions = {c.type: c.status for c in event["object"].status.conditions or []} if event["object"].status else {}
        if conditions.get("Established") == "True":
            return
    raise AssertionError("the definition is not established")


def box(name, size):
    return {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": name}, "spec": {"size": size}}


def custom_objects():
    establish()
    api = client.CustomObjectsApi()
    where = ("example.com", "v1", NAMESPACE, "boxes")
    made = api.create_namespaced_custom_object(*where, box("a", 1))
    assert made["spec"] == {"size": 1, "color": "red"}, made
    bad = refused(422, "Invalid", api.create_namespaced_custom_object, *where, box("bad", 0))
    assert bad["details"]["causes"][0]["field"] == "spec.size", bad
    made["spec"]["size"] = 5
    made = api.replace_namespaced_custom_object(*where, "a", made)
    assert made["metadata"]["generation"] == 2
    made = api.patch_namespaced_custom_object(*where, "a", {"spec": {"color": "blue"}}, _content_type="application/merge-patch+json")
    assert made["spec"] == {"size": 5, "color": "blue"}, made
    made["status"] = {"anything": ["goes"]}
    api.replace_namespaced_custom_object_status(*where, "a", made)
    read = api.get_namespaced_custom_object(*where, "a")
    assert read["status"] == {"anything": ["goes"]} and read["metadata"]["generation"] == 3, read
    listed = api.list_cluster_custom_object("example.com", "v1", "boxes")
    assert listed["kind"] == "BoxList" and [b["metadata"]["name"] for b in listed["items"]] == ["a"]
    api.delete_namespaced_custom_object(*where, "a")
    refused(404, "NotFound", api.get_namespaced_custom_object, *where, "a")


def dynamic_client():
    establish()
    found = dynamic.DynamicClient(client.ApiClient())
    boxes = found.resources.get(api_version="example.com/v1", kind="Box")
    assert boxes.namespaced and boxes.name == "boxes"
    made = boxes.create(body=box("d", 3), namespace=NAMESPACE)
    assert made.spec.color == "red"
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    made = deployments.create(body=client.ApiClient().sanitize_for_serialization(deployment("dyn")) | {"apiVersion": "apps/v1", "kind": "Deployment"}, namespace=NAMESPACE)
    assert made.spec.replicas == 2
    changed = deployments.server_side_apply(
        body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dyn"}, "spec": {"replicas": 7}},
        name="dyn", namespace=NAMESPACE, field_manager="dynamic", force_conflicts=True,
    )
    assert changed.spec.replicas == 7
    for event in deployments.watch(namespace=NAMESPACE, timeout=50):
        assert event["type"] == "ADDED" and event["object"].metadata.name == "dyn"
        break
    kinds = {resource.kind for resource in found.resources.search(group="apps")}
    assert {"Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ControllerRevision"} <= kinds, kinds
    try:
        found.resources.get(api_version="v1", kind="NoSuchKind")
    except dynamic.exceptions.ResourceNotFoundError:
        return
    raise AssertionError("found a kind that does not exist")


def main():
    functions = {f.__name__: f for f in (apply, crud, custom_objects, patches, watches)} | {"dynamic": dynamic_client}
    config.load_kube_config()
    client.CoreV1Api().create_namespace({"metadata": {"name": NAMESPACE}})
    functions[sys.argv[1]]()


main()
