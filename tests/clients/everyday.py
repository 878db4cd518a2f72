"""What a program does with the official client all day: create, list in chunks, watch, patch, meet errors.

Run with KUBECONFIG set; prints each step, and ends with 1 at the first that does not do what it should.
"""

import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config()
core = client.CoreV1Api()
NAMESPACE = "everyday"


def check(step, holds, seen=None):
    print(("ok   " if holds else "FAIL ") + step + ("" if holds else f": {seen!r}"))
    if not holds:
        sys.exit(1)


def refused(step, status, call, *args, **kwargs):
    """`call` has to be refused with `status`; returns the error."""
    try:
        seen = call(*args, **kwargs)
    except ApiException as error:
        check(step, error.status == status, error)
        return error
    check(step, False, seen)


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"app": "shop"}), data=data)


def objects():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    made = core.create_namespaced_config_map(NAMESPACE, config_map("a", x="1"))
    check("an object gets what the server fills in", made.metadata.uid and made.metadata.creation_timestamp, made)
    refused("a second one of the name is a conflict", 409, core.create_namespaced_config_map, NAMESPACE, config_map("a"))
    error = refused("one that is not there is not found", 404, core.read_namespaced_config_map, "none", NAMESPACE)
    check("an error is a Status", '"reason":"NotFound"' in error.body.replace(" ", ""), error.body)

    made.data["x"] = "2"
    updated = core.replace_namespaced_config_map("a", NAMESPACE, made)
    check("an update changes the version", updated.metadata.resource_version != made.metadata.resource_version, updated)
    refused("an old version is a conflict", 409, core.replace_namespaced_config_map, "a", NAMESPACE, made)

    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"y": "3"}})
    check("a patch adds", patched.data == {"x": "2", "y": "3"}, patched.data)
    patched = core.patch_namespaced_config_map("a", NAMESPACE, [{"op": "remove", "path": "/data/y"}])
    check("a list of operations is a JSON patch", patched.data == {"x": "2"}, patched.data)
    dry = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"x": "9"}}, dry_run="All")
    kept = core.read_namespaced_config_map("a", NAMESPACE)
    check("a dry run changes nothing", (dry.data["x"], kept.data["x"]) == ("9", "2"), (dry, kept))


def chunks():
    for i in range(25):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"many-{i:02}"))
    names, token, pages, versions = [], None, 0, set()
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="app=shop", limit=10, _continue=token)
        names += [item.metadata.name for item in page.items]
        versions.add(page.metadata.resource_version)
        pages, token = pages + 1, page.metadata._continue
        if pages == 1:
            # Comes after the list began, and so is not in it.
            core.create_namespaced_config_map(NAMESPACE, config_map("many-99"))
        if not token:
            break
    expected = ["a"] + [f"many-{i:02}" for i in range(25)]
    check("chunks make one consistent list", (names, pages, len(versions)) == (expected, 3, 1), (names, pages, versions))


def watches():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("seen", x="1"))
    core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"x": "2"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)
    events = []
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=20
    )
    for event in stream:
        events.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    expected = [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]
    check("a watch tells what happened since", events == expected, events)
    refused(
        "a version that was never given is refused",
        504,
        core.list_namespaced_config_map,
        NAMESPACE,
        resource_version="99999999999",
        resource_version_match="NotOlderThan",
    )


def owners():
    owner = core.create_namespaced_config_map(NAMESPACE, config_map("owner"))
    child = config_map("child")
    child.metadata.owner_references = [
        client.V1OwnerReference(api_version="v1", kind="ConfigMap", name="owner", uid=owner.metadata.uid)
    ]
    child = core.create_namespaced_config_map(NAMESPACE, child)
    start = child.metadata.resource_version
    core.delete_namespaced_config_map("owner", NAMESPACE, propagation_policy="Background")
    stream = watch.Watch().stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        resource_version=start,
        field_selector="metadata.name=child",
        timeout_seconds=20,
    )
    gone = next((event for event in stream if event["type"] == "DELETED"), None)
    check("what is owned goes with its owner", gone is not None, gone)


def custom():
    extensions = client.ApiextensionsV1Api()
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}},
    }
    extensions.create_custom_resource_definition(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "shelves.everyday.test"},
            "spec": {
                "group": "everyday.test",
                "scope": "Namespaced",
                "names": {"plural": "shelves", "singular": "shelf", "kind": "Shelf"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
                ],
            },
        }
    )
    shelves = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="everyday.test/v1", kind="Shelf")
    body = {"apiVersion": "everyday.test/v1", "kind": "Shelf", "metadata": {"name": "top"}, "spec": {}}
    made = shelves.create(body=body, namespace=NAMESPACE)
    check("the dynamic client finds a new kind, which gets its defaults", made.spec.size == 3, made)
    applied = shelves.server_side_apply(
        body=body | {"spec": {"size": 5}}, namespace=NAMESPACE, field_manager="everyday", force_conflicts=True
    )
    check("it applies", applied.spec.size == 5, applied)
    listed = shelves.get(namespace=NAMESPACE).items
    check("it lists", [item.metadata.name for item in listed] == ["top"], listed)
    shelves.delete(name="top", namespace=NAMESPACE)
    extensions.delete_custom_resource_definition("shelves.everyday.test")


def reviews():
    review = client.V1SelfSubjectAccessReview(
        spec={"resourceAttributes": {"verb": "delete", "resource": "secrets", "namespace": NAMESPACE}}
    )
    allowed = client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed
    check("the administrator may do anything", allowed, allowed)
    request = {"spec": {"expirationSeconds": 600, "audiences": []}}
    token = core.create_namespaced_service_account_token("default", NAMESPACE, request).status.token
    settings = client.Configuration.get_default_copy()
    settings.cert_file = settings.key_file = None
    settings.api_key = {"authorization": f"Bearer {token}"}
    account = client.CoreV1Api(client.ApiClient(settings))
    error = refused("a token logs its account in, which may do little", 403, account.list_namespaced_secret, NAMESPACE)
    check("and says who that is", f"system:serviceaccount:{NAMESPACE}:default" in error.body, error.body)
    settings.api_key = {"authorization": f"Bearer {token[:-4]}AAAA"}
    forged = client.CoreV1Api(client.ApiClient(settings))
    refused("a forged one does not", 401, forged.list_namespaced_secret, NAMESPACE)


for part in (objects, chunks, watches, owners, custom, reviews):
    part()
core.delete_namespace(NAMESPACE)
