"""Files that somebody else broke, links or edits, and disks that take nothing: all left alone."""

import re
from collections.abc import Callable

import pytest
import yaml

from fleet.errors import FleetError
from fleet.host_errors import (
    HostFileChangedError,
    HostFileInvalidError,
    HostFileRefusedError,
    HostsNotReadyError,
)
from fleet.outcomes import Action
from tests.acceptance.dead_man_traces import leftovers
from tests.acceptance.host import CERTS_D, REGISTRIES, Host
from tests.acceptance.site import Site
from tests.acceptance.world import World

THEIRS = "# theirs\nmirrors:\n  docker.io:\n    endpoint: [https://cache.example]\n"
# A program of this name comes before the real one: it is called between the check of the files
# and their replacement, so "somebody" edits the file at exactly that moment.
_CONTAINERD = CERTS_D.removesuffix("/certs.d")
_HOOK = "/usr/local/bin/systemd-run"


@pytest.fixture
def site(world: World, host: Host) -> Site:
    return world.site(world.fresh_name(), [host])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mirrors: [\n", f"{REGISTRIES}:2: this is not YAML"),
        ("mirrors:\n  a: b: c\n", f"{REGISTRIES}:2: this is not YAML"),
        ("mirrors:\n  docker.io:\n    endpoints: [https://cache.example]\n", "endpoints"),
    ],
    ids=["an open bracket", "two colons", "an unknown key"],
)
def test_a_broken_file_is_left_alone_and_told_with_its_line(
    site: Site, host: Host, text: str, words: str
) -> None:
    host.write(REGISTRIES, text, mode="0644")
    before = site.traces()
    with pytest.raises(HostFileInvalidError) as failed:
        site.configure()
    told = str(failed.value)
    assert f"{host.name}: {REGISTRIES}" in told
    assert words in told
    assert host.read(REGISTRIES) == text
    assert site.traces() == before
    assert leftovers(host) == []


def test_a_check_names_the_broken_file_before_anything_is_done(site: Site, host: Host) -> None:
    from tasks.hosts import check_nodes

    host.write(REGISTRIES, "mirrors: [\n")
    with site.session() as session, pytest.raises(HostsNotReadyError, match=REGISTRIES):
        check_nodes.fn(session)


def test_a_file_edited_between_look_and_write_keeps_the_edit(site: Site, host: Host) -> None:
    from tasks.hosts import check_nodes, configure_nodes

    host.write(REGISTRIES, "mirrors: {}\n")
    with site.session() as session:
        facts = check_nodes.fn(session, site.login_server)
        host.write(REGISTRIES, THEIRS)
        outcomes = configure_nodes.fn(session, site.endpoint, site.login_server, facts)
    assert [outcome.action for outcome in outcomes] == [Action.CHANGED]
    assert _holds_both(site, host)
    assert leftovers(host) == []


def test_an_edit_between_check_and_replacement_is_kept(site: Site, host: Host) -> None:
    edit = f'[ -e /run/edited ] || cat > {REGISTRIES} <<"END"\n{THEIRS}END\ntouch /run/edited\n'
    host.write(_HOOK, f'#!/bin/sh\n{edit}exec /usr/bin/systemd-run "$@"\n', mode="0755")
    before = host.service()
    assert [outcome.action for outcome in site.configure()] == [Action.CHANGED]
    assert host.exists("/run/edited")
    assert _holds_both(site, host)
    assert host.service() == before
    assert leftovers(host) == []


def test_a_file_that_is_edited_all_the_time_is_left_to_its_editor(site: Site, host: Host) -> None:
    edit = f'echo "# $(date +%s%N)" >> {REGISTRIES}\n'
    host.write(_HOOK, f'#!/bin/sh\n{edit}exec /usr/bin/systemd-run "$@"\n', mode="0755")
    host.write(REGISTRIES, THEIRS)
    before = host.service()
    with pytest.raises(HostFileChangedError, match=f"{REGISTRIES} was changed just now"):
        site.configure()
    lines = host.read(REGISTRIES).removeprefix(THEIRS).splitlines()
    assert [line[:3] for line in lines] == ["# 1"] * 2
    assert host.find(f"{CERTS_D}/*") == []
    assert host.find(f"{REGISTRIES}.*") == []
    assert host.service() == before
    assert leftovers(host) == []


def test_a_symbolic_link_is_left_alone_and_its_target_too(site: Site, host: Host) -> None:
    host.write("/srv/registries.yaml", THEIRS)
    host.root(f"ln -s /srv/registries.yaml {REGISTRIES}")
    before = site.traces()
    with pytest.raises(FleetError, match=r"registries\.yaml is a symbolic link") as failed:
        site.configure()
    assert "/srv/registries.yaml" in str(failed.value)
    assert host.root(f"readlink {REGISTRIES}").strip() == "/srv/registries.yaml"
    assert host.read("/srv/registries.yaml") == THEIRS
    assert site.traces() == before


def _fill(host: Host, folder: str) -> None:
    """Give a folder a disk of its own, with what was in it, without any room left."""
    host.root(
        f"mkdir -p {folder} /tmp/kept && cp -a {folder}/. /tmp/kept/ && "
        f"mount -t tmpfs -o size=256k tmpfs {folder} && cp -a /tmp/kept/. {folder}/ && "
        f"! cat /dev/zero > {folder}/filler"
    )


def _use_up_inodes(host: Host, folder: str) -> None:
    """Give a folder a disk of its own that takes no further file."""
    host.root(
        f"mkdir -p {folder} /tmp/kept && cp -a {folder}/. /tmp/kept/ && "
        f"mount -t tmpfs -o size=1m,nr_inodes=60 tmpfs {folder} && cp -a /tmp/kept/. {folder}/ && "
        f"i=0; while touch {folder}/filler$i; do i=$((i + 1)); done; rm {folder}/filler0"
    )


def _make_read_only(host: Host, folder: str) -> None:
    """Remount a folder as a disk with an error on it is."""
    host.root(f"mkdir -p {folder} && mount --bind {folder} {folder}")
    host.root(f"mount -o remount,ro,bind {folder}")


@pytest.mark.parametrize(
    ("break_disk", "folder"),
    [
        (_fill, "/etc/rancher"),
        (_fill, "/var/lib/acrfleet"),
        (_fill, _CONTAINERD),
        (_use_up_inodes, "/etc/rancher"),
        (_make_read_only, "/etc/rancher"),
        (_make_read_only, "/var/lib/acrfleet"),
        (_make_read_only, _CONTAINERD),
    ],
)
def test_a_disk_that_takes_nothing_is_told_and_nothing_is_changed(
    site: Site, host: Host, folder: str, break_disk: Callable[[Host, str], None]
) -> None:
    host.write(REGISTRIES, THEIRS)
    break_disk(host, folder)
    before, there = site.traces(), _everything(host)
    with pytest.raises(HostFileRefusedError, match="nothing was changed") as failed:
        site.configure()
    assert re.search(rf"cannot .*{folder}|no room for it", str(failed.value))
    assert host.read(REGISTRIES) == THEIRS
    assert site.traces() == before
    assert _everything(host) == there
    assert leftovers(host) == []


def test_after_a_full_disk_has_room_again_the_next_run_goes_through(site: Site, host: Host) -> None:
    host.write(REGISTRIES, THEIRS)
    _fill(host, "/etc/rancher")
    with pytest.raises(HostFileRefusedError):
        site.configure()
    host.root("rm /etc/rancher/filler")
    assert [outcome.action for outcome in site.configure()] == [Action.CHANGED]
    assert _holds_both(site, host)


def _everything(host: Host) -> list[str]:
    """Return every file's path, size and inode where the product may write."""
    folders = f"/etc/rancher {_CONTAINERD} /var/lib/acrfleet"
    found = host.root(f"find {folders} -printf '%p %s %i\\n' 2>/dev/null || true")
    return sorted(found.splitlines())


def _holds_both(site: Site, host: Host) -> bool:
    """Return whether somebody's edit and our mirror are both in the file."""
    text = host.read(REGISTRIES)
    mirrors = yaml.safe_load(text)["mirrors"]
    ours = mirrors[site.login_server]["endpoint"] == [site.endpoint.url]
    return ours and text.startswith(THEIRS) and "docker.io" in mirrors
