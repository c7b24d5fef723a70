"""A registry's data plane, as azure-containerregistry and a Docker client see it."""

import hashlib
import io
import socket
import tarfile

import pytest
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError

from tests.lab.azure_client import REGISTRY, azure_on

pytestmark = pytest.mark.lab
INDEX = "application/vnd.oci.image.index.v1+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
READ = ("repositories/vessel/*/content/read", "repositories/vessel/nav/metadata/read")


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


@pytest.fixture
def puller(azure):
    """A function that gives an access token of a scope-mapped token for a scope."""
    password = azure.password(azure.add_token("oslo-client", *READ))
    return lambda scope: azure.pull_token("oslo-client", password, scope).json()["access_token"]


def test_the_sdk_lists_the_catalog_page_by_page(azure):
    many = {f"vessel/app{number:03}": ["1"] for number in range(25)}
    registry = azure.add_registry("harbour", repositories=many)

    names = list(azure.catalog(registry).list_repository_names(results_per_page=10))

    assert names == sorted(many)


def test_the_sdk_reads_tags_and_manifests(azure):
    catalog = azure.catalog()

    tags = {each.name: each for each in catalog.list_tag_properties("vessel/nav")}
    manifest = catalog.get_manifest_properties("vessel/nav", "1.1")
    manifests = list(catalog.list_manifest_properties("vessel/nav"))
    repository = catalog.get_repository_properties("vessel/nav")

    assert sorted(tags) == ["1.0", "1.1"]
    assert manifest.digest == tags["1.1"].digest
    assert (manifest.tags, manifest.architecture) == (["1.1"], "amd64")
    assert catalog.get_tag_properties("vessel/nav", "1.0").digest == tags["1.0"].digest
    assert {each.digest for each in manifests} == {each.digest for each in tags.values()}
    assert (repository.tag_count, repository.manifest_count) == (2, 2)


def test_the_sdk_pulls_an_image_whose_layers_unpack(azure):
    catalog = azure.catalog()

    manifest = catalog.get_manifest("vessel/nav", "1.0")
    layers = [
        b"".join(catalog.download_blob("vessel/nav", layer["digest"]))
        for layer in manifest.manifest["layers"]
    ]

    with tarfile.open(fileobj=io.BytesIO(layers[1])) as archive:
        assert archive.extractfile("app/version").read() == b"vessel/nav:1.0\n"


def test_what_is_not_there_is_not_found(azure):
    catalog = azure.catalog()

    for question in (
        lambda: catalog.get_manifest_properties("vessel/nav", "9.9"),
        lambda: catalog.get_tag_properties("vessel/nav", "9.9"),
        lambda: catalog.get_repository_properties("vessel/unknown"),
    ):
        with pytest.raises(ResourceNotFoundError):
            question()


def test_the_catalogs_link_header_leads_through_all_pages(azure):
    token = azure.catalog_token()
    pages, path = [], "/v2/_catalog?n=2"
    while path:
        answer = azure.data(path, token)
        pages.append(answer.json()["repositories"])
        link = answer.headers.get("Link")
        path = link[1 : link.index(">")] if link else None

    assert pages == [["shore/mail", "vessel/crew"], ["vessel/nav"]]
    assert azure.data("/v2/_catalog?n=x", token).status_code == 400


def test_manifests_are_answered_by_tag_and_digest_with_their_digest(azure, puller):
    token = puller("repository:vessel/nav:pull")
    by_tag = azure.data("/v2/vessel/nav/manifests/1.0", token, Accept=f"{INDEX}, {OCI}")
    digest = by_tag.headers["Docker-Content-Digest"]
    by_digest = azure.data(f"/v2/vessel/nav/manifests/{digest}", token)
    head = azure.data("/v2/vessel/nav/manifests/1.0", token, method="HEAD")

    assert digest == f"sha256:{hashlib.sha256(by_tag.content).hexdigest()}"
    assert by_digest.content == by_tag.content
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(by_tag.content))
    assert head.headers["Content-Type"] == by_tag.headers["Content-Type"] == OCI
    assert by_tag.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_a_client_that_knows_no_oci_manifests_gets_none(azure, puller):
    token = puller("repository:vessel/nav:pull")

    answer = azure.data("/v2/vessel/nav/manifests/1.0", token, Accept=DOCKER)

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"


def test_blobs_match_their_digests_and_come_in_ranges(azure, puller):
    token = puller("repository:vessel/nav:pull")
    manifest = azure.data("/v2/vessel/nav/manifests/1.0", token).json()
    layer = manifest["layers"][0]
    path = f"/v2/vessel/nav/blobs/{layer['digest']}"

    whole = azure.data(path, token)
    part = azure.data(path, token, Range="bytes=2-5")
    beyond = azure.data(path, token, Range="bytes=9999-")
    unknown = azure.data("/v2/vessel/nav/blobs/sha256:0", token)

    assert f"sha256:{hashlib.sha256(whole.content).hexdigest()}" == layer["digest"]
    assert len(whole.content) == layer["size"]
    assert (part.status_code, part.content) == (206, whole.content[2:6])
    assert part.headers["Content-Range"] == f"bytes 2-5/{layer['size']}"
    assert (beyond.status_code, unknown.status_code) == (416, 404)


def test_pushing_is_refused(azure, puller):
    token = puller("repository:vessel/nav:pull,push")

    answer = azure.data("/v2/vessel/nav/blobs/uploads/", token, method="POST")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


def test_a_new_image_shows_up(azure):
    azure.call(azure.registry.add_image, "vessel/radio", "7")

    assert "vessel/radio" in list(azure.catalog().list_repository_names())


def test_a_stopped_registry_is_not_served(azure):
    made = azure.add_registry("harbour")
    azure.send("DELETE", azure.registry_path.replace(REGISTRY, "harbour"))

    host, _, port = made.login_server.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 1)


def test_the_sdk_says_so_when_it_may_not_list(azure):
    catalog = azure.catalog()
    azure.faults.add(part="azure", kind="status", status=401, match="POST /oauth2/exchange")

    with pytest.raises(ClientAuthenticationError):
        list(catalog.list_repository_names())
