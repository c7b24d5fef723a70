"""The lab's images, without a server."""

import gzip
import hashlib
import json

from lab.azure.images import RegistryContent, digest_of


def test_an_image_is_what_its_digests_say():
    manifest = RegistryContent().add_image("vessel/nav", "1.0")
    content = RegistryContent()
    content.add_image("vessel/nav", "1.0")
    repository = content.repositories["vessel/nav"]
    parsed = json.loads(manifest.data)
    config = json.loads(repository.blobs[parsed["config"]["digest"]])

    for each in [parsed["config"], *parsed["layers"]]:
        blob = repository.blobs[each["digest"]]
        assert digest_of(blob) == each["digest"]
        assert len(blob) == each["size"]
    unpacked = [gzip.decompress(repository.blobs[each["digest"]]) for each in parsed["layers"]]
    assert config["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in unpacked
    ]


def test_images_are_the_same_on_every_run_and_differ_by_repository_and_tag():
    one, two = RegistryContent(), RegistryContent()
    digests = [
        content.add_image(repository, tag).digest
        for content in (one, two)
        for repository in ("a", "b")
        for tag in ("1", "2")
    ]

    assert digests[:4] == digests[4:]
    assert len(set(digests)) == 4


def test_a_moved_tag_leaves_the_old_manifest_behind():
    content = RegistryContent()
    old = content.add_image("a", "1")
    repository = content.repositories["a"]
    new = content.add_image("a", "2")
    repository.tags["1"] = new.digest

    assert repository.find("1") == new
    assert repository.find(old.digest) == old
    assert repository.tags_of(new.digest) == ["1", "2"]
    assert repository.find("3") is None


def test_shared_layers_count_once():
    content = RegistryContent()
    content.add_image("a", "1")
    alone = content.size()
    content.add_image("b", "1")

    assert alone < content.size() < 2 * alone
