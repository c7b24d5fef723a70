"""Somebody who pulls at a site without pause, with what the pull secret holds at that moment.

As containerd does with the hosts of an image: each request goes to the site's registry first, and
to the cloud where that gives no answer or refuses it; each host is logged in to for itself. A pull
fails when both fail (docs/explanation/rotation.md, "What a restart of the registry means").
"""

import json
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx
from kubernetes import client, config

from lab.thread import LabThread

_TYPES = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class PullLoad:
    """What came of the pulls so far.

    `failures` are pulls that neither host served, and any refusal by the site's registry: a
    password in the Secret that the site does not take is a failure even where the cloud helps out.
    `fallbacks` are pulls that went to the cloud, because nothing answered at the site.
    """

    pulls: int = 0
    fallbacks: int = 0
    failures: list[str] = field(default_factory=list)
    passwords: set[str] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held during a pull; whoever moves the lab's clock by days holds it meanwhile."""


@dataclass(frozen=True)
class Hosts:
    """Where an image is fetched from, in containerd's order."""

    mirror: httpx.Client
    cloud: httpx.Client
    has_link: Callable[[], bool]


@contextmanager
def pulling(
    lab: LabThread,
    site: str,
    repository: str = "vessel/navigation",
    tag: str = "1.4.0",
    rest: float = 0.01,
    secret: tuple[str, str] = ("default", "acrfleet-pull"),
) -> Iterator[PullLoad]:
    """Pull manifest and blobs in a loop until the block ends; wait for a last pull after it.

    `rest` are the seconds between two pulls, `secret` is the pull secret's namespace and name. A
    load that ends early or comes to nothing in the end is a failure too.
    """
    load, done = PullLoad(), threading.Event()
    entry = next(one for one in lab.info["sites"] if one["name"] == site)
    server = lab.info["registries"][0]["login_server"]
    trust = ssl.create_default_context(cafile=lab.info["azure"]["ca_file"])

    def work() -> None:
        try:
            pull_until_done()
        except Exception as error:  # noqa: BLE001 - told by the test
            load.failures.append(f"the load ended: {error!r}")

    def pull_until_done() -> None:
        with (
            config.new_client_from_config(entry["kubeconfig"]) as api,
            httpx.Client(base_url=entry["registry_endpoint"], timeout=10) as mirror,
            httpx.Client(base_url=f"https://{server}", timeout=10, verify=trust) as cloud,
        ):
            hosts = Hosts(mirror, cloud, lambda: not lab.world.sites[site].is_offline)
            core = client.CoreV1Api(api)
            while not done.is_set():
                with load.turn:
                    _pull_once(load, core, hosts, secret, f"{repository}:{tag}")
                time.sleep(rest)

    thread = threading.Thread(target=work, name=f"pulls at {site}")
    thread.start()
    try:
        yield load
        before = load.pulls + len(load.failures)
        deadline = time.monotonic() + 10
        while load.pulls + len(load.failures) <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        if load.pulls + len(load.failures) <= before:
            load.failures.append("no pull came to an end in the last 10 s")
    finally:
        done.set()
        thread.join()


def _pull_once(
    load: PullLoad,
    core: client.CoreV1Api,
    hosts: Hosts,
    secret: tuple[str, str],
    image: str,
) -> None:
    namespace, name = secret
    repository, _, tag = image.partition(":")
    found = core.read_namespaced_secret(name, namespace)
    auths = json.loads(b64decode(found.data[".dockerconfigjson"]))["auths"]
    login = next(iter(auths.values()))
    slot = found.metadata.annotations["acrfleet/slot"]
    pull = partial(_pull, login["username"], login["password"], repository, tag)
    try:
        pull(hosts.mirror)
    except httpx.TransportError as away:
        if not hosts.has_link():
            load.failures.append(f"with {slot} at the site, which has no link: {away!r}")
            return
        try:
            pull(hosts.cloud)
        except (httpx.HTTPError, KeyError, AssertionError) as error:
            load.failures.append(f"with {slot} in the cloud after {away!r}: {error!r}")
            return
        load.fallbacks += 1
    except (httpx.HTTPError, KeyError, AssertionError) as error:
        load.failures.append(f"with {slot}: {error!r}")
        return
    load.passwords.add(slot)
    load.pulls += 1


def _pull(user: str, password: str, repository: str, tag: str, http: httpx.Client) -> None:
    challenge = http.get("/v2/")
    assert challenge.status_code == 401, challenge
    parts = dict(
        part.split("=", 1)
        for part in challenge.headers["WWW-Authenticate"].split(" ", 1)[1].split(",")
    )
    realm, service = parts["realm"].strip('"'), parts["service"].strip('"')
    answer = http.get(
        httpx.URL(realm).path,
        params={"service": service, "scope": f"repository:{repository}:pull"},
        auth=(user, password),
    )
    answer.raise_for_status()
    token = answer.json().get("access_token") or answer.json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": _TYPES}
    manifest = http.get(f"/v2/{repository}/manifests/{tag}", headers=headers)
    manifest.raise_for_status()
    for layer in manifest.json().get("layers", []):
        http.get(f"/v2/{repository}/blobs/{layer['digest']}", headers=headers).raise_for_status()
