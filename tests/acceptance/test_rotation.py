"""Passwords roll while containerd pulls without pause: no pull fails, and the old one ends.

The sync password's turn restarts the registry's pod. A pull that has resolved its image there and
is cut off fails in containerd, which asks no other host then; the kubelet pulls again, and so does
the load here, once. Such a second try is a pull of its own: it must succeed, by the cloud.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from fleet.results import Status
from tests.acceptance.host import Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

pytestmark = pytest.mark.flow
REPOSITORY, TAG = "vessel/navigation", "1.5.0"
IMAGE = f"{REPOSITORY}:{TAG}"
# The rotation proves itself by another image than the load takes away and pulls.
PROBE = "vessel/telemetry:2.0.1"
GRACE = 8
CUT = ("connection refused", "connection reset", "EOF")
# A pod that restarts is away for a moment; the kubelet itself comes back after ten seconds.
KUBELET = 10


@dataclass
class Pulls:
    """Pulls by the cloud's name, and what came of them.

    Each fetches everything, with the Secret of its moment. `cut` are those that found no registry,
    or lost it half-way, and were tried again.
    """

    site: Site
    host: Host
    logins: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def pull_until(self, done: threading.Event) -> None:
        try:
            while not done.is_set():
                self._pull_as_a_kubelet()
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failures.append(f"the load ended: {error!r}")

    def _pull_as_a_kubelet(self) -> None:
        end, pulled = time.monotonic() + KUBELET, self._pull()
        if is_cut(pulled):
            self.cut.append(pulled.stderr)
        while is_cut(pulled) and time.monotonic() < end:
            pulled = self._pull()
        if pulled.returncode:
            self.failures.append(pulled.stderr)

    def _pull(self) -> "subprocess.CompletedProcess[str]":
        self.host.forget(REPOSITORY)
        login = self.site.pull_login()
        self.logins.append(login)
        return self.host.pull(f"{self.site.login_server}/{IMAGE}", login)


def is_cut(pulled: "subprocess.CompletedProcess[str]") -> bool:
    return any(word in pulled.stderr for word in CUT)


@contextmanager
def pulling(site: Site, host: Host) -> Iterator[Pulls]:
    """Let containerd pull in a loop, as the kubelet would for new pods."""
    pulls, done = Pulls(site, host), threading.Event()
    host.forget(REPOSITORY)
    assert not [name for name in host.images() if REPOSITORY in name]
    thread = threading.Thread(target=pulls.pull_until, args=(done,), name=f"pulls at {site.name}")
    thread.start()
    try:
        yield pulls
    finally:
        done.set()
        thread.join()


def test_no_pull_by_containerd_fails_while_passwords_roll(world: World, host: Host) -> None:
    changes = {"rotation": {"grace": f"{GRACE}s"}, "probe_image": PROBE}
    site = world.site(host.name.replace("host-", "roll"), [host], **changes)
    assert [one.status for one in site.onboard().results] == [Status.DONE]
    old, address = site.pull_login(), f"{site.registry_host()}/{IMAGE}"
    with pulling(site, host) as pulls:
        first = site.rotate().results
        assert [one.status for one in first] == [Status.DONE], first
        new = site.pull_login()
        assert _pull_by_address(host, address, old), "the old one works until the grace is over"
        time.sleep(GRACE)
        second = site.rotate(now=False).results
        assert [one.status for one in second] == [Status.DONE], second
        time.sleep(1)
    assert not pulls.failures, "\n".join(pulls.failures)
    assert len(pulls.cut) <= 2, "the pod restarts once\n" + "\n".join(pulls.cut)
    assert set(pulls.logins) == {old, new}
    assert len(pulls.logins) > 10
    host.until(
        lambda: not _pull_by_address(host, address, old), what="the old password to be refused"
    )
    assert _pull_by_address(host, address, new)
    assert site.rotate(now=False).results[0].changes == 0


def _pull_by_address(host: Host, image: str, login: str) -> bool:
    """Return whether the site's own registry serves it; there is no cloud to fall back to."""
    host.attempt(f"{host.flavor.ctr} images rm --sync {image}")
    return host.pull(image, login).returncode == 0
