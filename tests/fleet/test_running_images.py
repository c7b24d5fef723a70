"""Which images pods run: by the digest that the node reports, each once, never without bound."""

from typing import Any

import pytest

from fleet.freshness import MOST_RUNNING, RunningImage
from fleet.running_images import images_of_pods

RUNNING = {"running": {"startedAt": "2026-11-24T12:00:00Z"}}


def pod(*containers: dict[str, Any], kind: str = "containerStatuses") -> dict[str, Any]:
    return {"status": {"phase": "Running", kind: list(containers)}}


def container(image: str, image_id: str, state: Any = RUNNING) -> dict[str, Any]:
    return {"image": image, "imageID": image_id, "state": state}


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        ("acr.azurecr.io/vessel/nav@sha256:aa", "sha256:aa"),
        ("docker-pullable://acr.azurecr.io/vessel/nav@sha256:bb", "sha256:bb"),
        ("sha256:cc", "sha256:cc"),
    ],
)
def test_the_digest_is_what_the_node_reports(image_id: str, digest: str) -> None:
    found = images_of_pods([pod(container("acr.azurecr.io/vessel/nav:1", image_id))])
    assert found == (RunningImage(image="acr.azurecr.io/vessel/nav:1", digest=digest),)


def test_what_does_not_run_or_has_no_digest_yet_does_not_count() -> None:
    pods: list[dict[str, Any]] = [
        {},
        {"status": {}},
        pod(container("a:1", "")),
        pod(container("a:1", "a@sha256:aa", {"waiting": {"reason": "ImagePullBackOff"}})),
        pod(container("a:1", "a@sha256:aa", {"terminated": {"exitCode": 0}})),
    ]
    assert images_of_pods(pods) == ()


def test_an_image_of_many_pods_and_of_init_containers_is_told_once() -> None:
    one = container("a:1", "a@sha256:aa")
    pods = [pod(one), pod(one), pod(one, kind="initContainerStatuses")]
    assert images_of_pods(pods) == (RunningImage(image="a:1", digest="sha256:aa"),)


def test_very_many_images_are_cut() -> None:
    many = [pod(container(f"a:{number}", f"a@sha256:{number}")) for number in range(600)]
    assert len(images_of_pods(many)) == MOST_RUNNING
