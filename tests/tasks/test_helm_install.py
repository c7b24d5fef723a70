"""The chart put on a cluster by a real helm, against the lab."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cluster_errors import ChartFailedError, ClusterUnreachableError, HelmMissingError
from fleet.errors import NotOursError
from fleet.helm_chart import read_connection_string
from fleet.helm_release import read_release
from fleet.host_errors import ConnectionLostError
from fleet.outcomes import Action, Outcome
from fleet.sites import ClusterAccess
from tasks.charts import (
    check_cluster,
    deliver_connection_string,
    install_chart,
    wait_until_online,
)
from tasks.helm_install import choose
from tests.chart_registry import chart_registry
from tests.helm_programs import HELM_3, HELM_4, helm_folder
from tests.tasks.site_bench import LabSites, SiteBench, lab_sites

pytestmark = [pytest.mark.lab, pytest.mark.flow, pytest.mark.usefixtures("prefect_harness")]
NAMESPACE = RELEASE = "connected-registry"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSites]:
    folder = tmp_path_factory.mktemp("helm")
    with lab_sites(folder, sites=13) as sites:
        yield sites


@pytest.fixture(scope="module")
def reference(sites: LabSites) -> Iterator[str]:
    context = sites.lab.world.authority.server_context(["127.0.0.1"])
    with chart_registry(context, ("0.4.0", "0.5.0")) as reference:
        yield reference


@pytest.fixture(params=[HELM_3])
def helm(
    request: pytest.FixtureRequest, sites: LabSites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    folder = helm_folder(request.param)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SSL_CERT_FILE", str(sites.lab.world.authority.ca_file))
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder / "helm"


@pytest.fixture
def bench(sites: LabSites, reference: str, helm: Path) -> Iterator[SiteBench]:
    with sites.next_site() as bench:
        _chart(bench, reference=reference, installer="helm")
        yield bench


def _info(bench: SiteBench) -> dict[str, Any]:
    found = [one for one in bench.lab.info["sites"] if one["name"] == bench.site.name]
    return dict(found[0])


def _reach_directly(bench: SiteBench) -> None:
    _describe(bench, cluster=ClusterAccess(kubeconfig=str(_info(bench)["kubeconfig"])))


def _describe(bench: SiteBench, **changes: Any) -> None:
    bench.site = bench.site.model_copy(update=changes)
    bench.with_site()


def _chart(bench: SiteBench, **changes: Any) -> None:
    _describe(bench, chart=bench.site.chart.model_copy(update=changes))


def _install(bench: SiteBench) -> Outcome:
    (outcome,) = install_chart.fn(bench.session)
    return outcome


def _release(bench: SiteBench) -> tuple[int, str]:
    secret = bench.session.cluster.find_newest_release(NAMESPACE, RELEASE)
    assert secret is not None
    release = read_release(secret)
    assert release.status == secret.meta.labels["status"]
    return release.revision, release.status


def _claim(bench: SiteBench) -> str:
    (claim,) = bench.session.cluster.list_claims(NAMESPACE)
    return claim.meta.uid


def _password(bench: SiteBench) -> str:
    secret = bench.session.cluster.find_secret(NAMESPACE, f"{RELEASE}-connection")
    assert secret is not None
    text = read_connection_string(secret)
    assert text is not None
    return text.get_secret_value().split("SyncTokenPassword=")[1].split(";")[0]


@contextmanager
def _stuck(bench: SiteBench, operation: str) -> Iterator[int]:
    """Install in a thread until the API hangs on a request; yields helm's process."""
    site = bench.site.name
    fault = bench.lab.faults.add(part="cluster", kind="hang", match=operation, site=site)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_install, bench)
        pid = _wait_for_helm(running)
        deadline = time.monotonic() + 30
        while not fault.hanging and time.monotonic() < deadline:
            assert not running.done(), running.exception()
            time.sleep(0.01)
        assert fault.hanging, f"helm never came to {operation}"
        try:
            yield pid
        finally:
            os.kill(pid, 9)
            bench.lab.call(bench.lab.world.clear_faults)
        with pytest.raises(ConnectionLostError, match="killed by signal 9"):
            running.result(10)


def _wait_for_helm(running: Any) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not running.done():
        for pid in _children(os.getpid()):
            # Other children, such as `helm version`, may end while they are looked at.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if b"helm\0upgrade" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        time.sleep(0.01)
    raise AssertionError("no helm was started")


def _children(parent: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


@pytest.mark.parametrize("helm", [HELM_3, HELM_4], indirect=True)
def test_helm_brings_a_site_online_and_a_second_run_starts_no_helm(
    bench: SiteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_cluster.fn(bench.session)
    assert bench.writes() == []
    deliver_connection_string.fn(bench.session)
    assert (_install(bench).action, _release(bench)) == (Action.CREATED, (1, "deployed"))
    endpoint = wait_until_online.fn(bench.session)
    claim = _claim(bench)
    bench.writes()

    with monkeypatch.context() as without_helm:
        without_helm.setenv("PATH", "/nowhere")
        deliver_connection_string.fn(bench.session)
        assert _install(bench).action is Action.UNCHANGED
    assert bench.writes() == []

    _chart(bench, chunk_size_mb=8)
    changed = _install(bench)
    assert (changed.action, changed.detail) == (Action.CHANGED, "sync")
    _chart(bench, version="0.5.0")
    changed = _install(bench)
    assert (changed.action, changed.detail) == (Action.CHANGED, "version")
    assert _release(bench) == (3, "deployed")
    assert wait_until_online.fn(bench.session) == endpoint
    assert _claim(bench) == claim


def test_a_cluster_without_a_helm_controller_gets_its_chart_from_helm(
    tmp_path: Path, helm: Path, reference: str
) -> None:
    lab = lab_sites(tmp_path, sites=1, distribution="containerd")
    with lab as sites, sites.next_site() as bench:
        _reach_directly(bench)
        assert bench.site.chart.installer == "auto"
        assert check_cluster.fn(bench.session).installer.is_helm
        choice = choose(bench.session)
    assert (choice.installer, choice.why) == ("helm", "the cluster has no helm-controller")


def test_a_changed_connection_string_reaches_the_registry(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    _install(bench)
    wait_until_online.fn(bench.session)
    bench.cloud.access.renew_password(bench.site.names.sync_token, "password1", None)
    deliver_connection_string.fn(bench.session)
    changed = _install(bench)
    assert (changed.action, changed.detail) == (Action.CHANGED, "connectionString")
    wait_until_online.fn(bench.session)


def test_a_killed_first_install_is_taken_up_in_place(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    with _stuck(bench, f"POST {DEPLOYMENTS}"):
        assert _release(bench) == (1, "pending-install")
    claim = _claim(bench)
    outcome = _install(bench)
    assert (outcome.action, outcome.detail) == (Action.CHANGED, "again after pending-install")
    assert _release(bench) == (2, "deployed")
    assert _claim(bench) == claim
    wait_until_online.fn(bench.session)
    assert _install(bench).action is Action.UNCHANGED


@pytest.mark.slow
def test_a_killed_upgrade_is_taken_up_in_place(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    _install(bench)
    claim = _claim(bench)
    _chart(bench, version="0.5.0")
    with _stuck(bench, f"PATCH {DEPLOYMENTS}/*"):
        assert _release(bench) == (2, "pending-upgrade")
    assert _install(bench).detail == "again after pending-upgrade"
    assert _release(bench) == (3, "deployed")
    assert _claim(bench) == claim
    wait_until_online.fn(bench.session)


def test_while_helm_works_the_password_is_in_no_argument_environment_or_file(
    bench: SiteBench, tmp_path: Path
) -> None:
    deliver_connection_string.fn(bench.session)
    password = _password(bench).encode()
    with _stuck(bench, f"POST {DEPLOYMENTS}") as pid:
        process = Path(f"/proc/{pid}")
        told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert b"--values" in told
        assert password not in told
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any("acrfleet-helm-" in str(path) for path in files)
        assert not [path for path in files if password in path.read_bytes()]
        assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_release_made_by_hand_is_left_alone(bench: SiteBench, helm: Path) -> None:
    deliver_connection_string.fn(bench.session)
    kubeconfig = str(_info(bench)["kubeconfig"])
    subprocess.run(
        [
            *(helm, "install", RELEASE, bench.site.chart.reference, "--version=0.4.0"),
            *("--namespace", NAMESPACE, "--kubeconfig", kubeconfig),
            *("--set", "connectionString=made-by-hand"),
        ],
        check=True,
        capture_output=True,
    )
    bench.writes()
    with pytest.raises(NotOursError, match="not made by acrfleet's helm") as raised:
        _install(bench)
    assert "connectionString" in str(raised.value)
    assert "made-by-hand" not in str(raised.value)
    assert bench.writes() == []


def test_a_chart_that_the_helm_controller_installs_is_not_installed_twice(
    bench: SiteBench,
) -> None:
    deliver_connection_string.fn(bench.session)
    _chart(bench, installer="helm-controller", reference="oci://mcr.microsoft.com/x/chart")
    _install(bench)
    _chart(bench, installer="helm")
    with pytest.raises(NotOursError, match="two would undo each other's work"):
        _install(bench)


def test_a_machine_without_helm_is_refused_before_any_write(
    bench: SiteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HelmMissingError, match=r"Install helm 3\.17 or newer"):
        check_cluster.fn(bench.session)
    assert bench.writes() == []


def test_what_helm_says_about_a_missing_chart_is_passed_on(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    _chart(bench, version="9.9.9")
    with pytest.raises(ChartFailedError, match=r"9\.9\.9.*not found") as raised:
        _install(bench)
    assert _password(bench) not in str(raised.value)


def test_a_helm_that_prints_its_values_is_not_quoted_with_them(
    bench: SiteBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/helm"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1" = version ] && echo v3.17.2 && exit\n'
        'for last; do case $last in /dev/fd/*) cat "$last" >&2;; esac; done\n'
        "echo refused >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    deliver_connection_string.fn(bench.session)
    with pytest.raises(ChartFailedError, match="refused") as raised:
        _install(bench)
    key = yaml.safe_load(bench.session.cluster.kubeconfig().get_secret_value())["users"][0]["user"]
    assert key["client-key-data"] not in str(raised.value)
    assert '"connectionString": "(not shown)"' in str(raised.value)
    assert _password(bench) not in str(raised.value)


@pytest.mark.slow
def test_a_cluster_that_breaks_off_is_tried_again_on_top_of_the_failure(bench: SiteBench) -> None:
    deliver_connection_string.fn(bench.session)
    operation, site = f"POST {DEPLOYMENTS}", bench.site.name
    bench.lab.faults.add(part="cluster", kind="drop", match=operation, site=site)
    with pytest.raises(ClusterUnreachableError, match="helm lost the cluster"):
        _install(bench)
    assert _release(bench) == (1, "failed")
    bench.lab.call(bench.lab.world.clear_faults)
    assert _install(bench).detail == "again after a failure"
    wait_until_online.fn(bench.session)
