"""The script runs here, under each shell that hosts have, on folders that look like a host's."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.host_facts_script import READ_FACTS, STARTED, facts_arguments
from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.host_errors import CommandTimedOutError
from fleet.node_facts import CertsFolder, NodeFacts, parse_facts
from lab.hosts.distributions import distribution_of
from lab.hosts.registries import parse_registries
from lab.hosts.rendered_config import render_config

SHELLS = [["/bin/sh"]]
if shutil.which("busybox"):
    SHELLS.append(["busybox", "sh"])
REGISTRIES = "configs: {x: {auth: {username: u, password: hunter2}}}\n"
TOKEN = "K10abcdef0123456789::server:hunter3"
CONFIG = f"""\
token: {TOKEN}
data-dir: "DATA"  # moved
embedded-registry: true
disable:
  - traefik
  - servicelb
disable-kube-proxy: false
"""


def a_host(folder: Path, name: str = "k3s") -> Distribution:
    """Make a host's configuration and return the distribution that lives there."""
    data = folder / "a data folder"
    certs = data / "agent/etc/containerd/certs.d"
    for host, header in (("myacr.azurecr.io", "# ours"), ("10.43.0.9_80_", "x = 1")):
        (certs / host).mkdir(parents=True)
        (certs / host / "hosts.toml").write_text(f"{header}\nserver = 2\n")
    (certs / "empty").mkdir()
    (folder / "config.yaml").write_text(CONFIG.replace("DATA", str(data)))
    (folder / "config.yaml.d").mkdir()
    (folder / "config.yaml.d/10.yaml").write_text("snapshotter: 'stargz'\n")
    (folder / "registries.yaml").write_text(REGISTRIES)
    (folder / "registries.yaml.acrfleet.20250101T000000Z").write_text("")
    (folder / "k3s.yaml").write_text("users: []\n")
    return DISTRIBUTIONS[name].model_copy(
        update={
            "config_dir": str(folder),
            "registries": str(folder / "registries.yaml"),
            "kubeconfig": str(folder / "k3s.yaml"),
        }
    )


def run(shell: list[str], distribution: Distribution, path: str | None = None) -> str:
    arguments = facts_arguments(distribution, "myacr.azurecr.io", "10.43.0.9:80")
    command = [*shell, "-c", READ_FACTS, "sh", *arguments]
    env = {**os.environ, "PATH": path} if path else None
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=30)
    assert ended.stderr == ""
    noise, _, output = ended.stdout.partition(f"{STARTED}\n")
    assert noise == ""
    return output


def read(shell: list[str], distribution: Distribution) -> NodeFacts:
    return parse_facts("oslo", run(shell, distribution), distribution)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_host_is_read(shell: list[str], tmp_path: Path) -> None:
    facts = read(shell, a_host(tmp_path))
    data = tmp_path / "a data folder"
    assert facts.data_dir == str(data)
    assert facts.registries.content == REGISTRIES
    assert facts.registries.newest_backup == f"{tmp_path}/registries.yaml.acrfleet.20250101T000000Z"
    assert facts.kubeconfig
    assert facts.kubeconfig.get_secret_value() == "users: []\n"
    assert facts.has_embedded_mirror
    assert not facts.is_set("disable-kube-proxy")
    assert facts.settings["snapshotter"] == "stargz"
    assert facts.settings["disable"].split() == ["traefik", "servicelb"]
    assert facts.free_kb
    assert facts.free_inodes
    assert facts.user
    assert abs(facts.now.timestamp() - tmp_path.stat().st_mtime) < 60
    assert facts.modes[f"{tmp_path}/registries.yaml"].startswith("644 ")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("status", [124, 143])
def test_a_program_too_busy_to_say_its_version_is_no_missing_program(
    shell: list[str], status: int, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    # GNU's timeout ends with 124 when it has ended the program, that of busybox with 143.
    (programs / "k3s").write_text(f"#!/bin/sh\nexit {status}\n")
    (programs / "k3s").chmod(0o755)
    distribution = a_host(tmp_path)
    output = run(shell, distribution, f"{programs}:{os.environ['PATH']}")
    with pytest.raises(CommandTimedOutError, match="oslo: `k3s --version` gave no answer within"):
        parse_facts("oslo", output, distribution)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_certs_d_is_read(shell: list[str], tmp_path: Path) -> None:
    facts = read(shell, a_host(tmp_path))
    assert facts.hosts_files["myacr.azurecr.io"].content == "# ours\nserver = 2\n"
    assert facts.hosts_files["10.43.0.9:80"].kind == "absent"
    assert facts.hosts_files["10.43.0.9_80_"].content == "x = 1\nserver = 2\n"
    assert set(facts.certs_folders) == {
        CertsFolder(name="myacr.azurecr.io", header="# ours"),
        CertsFolder(name="10.43.0.9_80_", header="other"),
        CertsFolder(name="empty"),
    }


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_clusters_token_does_not_leave_the_host(shell: list[str], tmp_path: Path) -> None:
    output = run(shell, a_host(tmp_path))
    for secret in (TOKEN, "hunter2", "hunter3"):
        assert secret not in output
        assert base64.b64encode(secret.encode()).decode().rstrip("=")[:-1] not in output
    assert base64.b64encode(REGISTRIES.encode()).decode() in output


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    ("version", "reads", "form"),
    [("v1.28.5+k3s1", False, 2), ("v1.31.4+k3s1", True, 2), ("v1.34.1+k3s1", True, 3)],
)
def test_whether_certs_d_is_read_is_seen_in_the_rendered_configuration(
    shell: list[str], version: str, reads: bool, form: int, tmp_path: Path
) -> None:
    distribution = a_host(tmp_path)
    data = tmp_path / "a data folder"
    config = data / "agent/etc/containerd/config.toml"
    registries = parse_registries(REGISTRIES)
    config.write_text(
        render_config(registries, distribution_of(f"k3s@{version}", "server"), str(data))
    )
    (config.parent / "config.toml.tmpl").write_text("")
    facts = read(shell, distribution)
    assert facts.config_path == (str(config.parent / "certs.d") if reads else None)
    assert facts.config_version == form
    assert facts.has_containerd_2 is (form == 3)
    assert facts.auth_hosts == {"x"}
    assert facts.templates == (str(config.parent / "config.toml.tmpl"),)
    assert facts.config_modified


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_only_the_table_of_the_image_service_counts(shell: list[str], tmp_path: Path) -> None:
    distribution = a_host(tmp_path)
    config = tmp_path / "a data folder/agent/etc/containerd/config.toml"
    config.write_text(
        "version = 3\n[plugins.'io.containerd.transfer.v1.local']\n  config_path = '/wrong'\n"
        "[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/right' # comment\n"
        "[plugins.'io.containerd.snapshotter.v1.stargz'.registry]\n  config_path = '/wrong'\n"
    )
    assert read(shell, distribution).config_path == "/right"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_link_and_a_folder_are_told_from_files(shell: list[str], tmp_path: Path) -> None:
    distribution = a_host(tmp_path)
    path = tmp_path / "registries.yaml"
    path.unlink()
    path.symlink_to("/etc/elsewhere")
    assert read(shell, distribution).registries.kind == "link"
    path.unlink()
    path.mkdir()
    assert read(shell, distribution).registries.kind == "other"
    path.rmdir()
    assert read(shell, distribution).registries.kind == "absent"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_an_empty_host_is_no_error(shell: list[str], tmp_path: Path) -> None:
    nowhere = DISTRIBUTIONS["rke2"].model_copy(update={"config_dir": str(tmp_path)})
    facts = read(shell, nowhere)
    assert facts.config_path is None
    assert facts.kubeconfig is None
    assert facts.registries.kind == "absent"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("place", ["${HOME}/.rancher/k3s", "data"])
def test_a_data_folder_that_is_no_absolute_path_does_not_keep_the_host_busy(
    shell: list[str], place: str, tmp_path: Path
) -> None:
    distribution = a_host(tmp_path)
    (tmp_path / "config.yaml").write_text(f"data-dir: {place}\n")
    facts = read(shell, distribution)
    assert facts.data_dir == place
    assert facts.free_kb


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_no_password_of_a_proxy_leaves_the_host(shell: list[str], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text(
        '#!/bin/sh\n[ "$3" != Environment ] || echo \'Environment=HTTPS_PROXY=http://u:p@ss/w@one:1'
        ' "HTTP_PROXY=u:secret@two:2" NO_PROXY=10.0.0.0/8 TOKEN=hunter2\'\n'
    )
    (tools / "systemctl").chmod(0o755)
    output = run(shell, a_host(tmp_path), f"{tools}:{os.environ['PATH']}")
    facts = parse_facts("oslo", output)
    assert facts.proxies == {
        "HTTPS_PROXY": "http://...@one:1",
        "HTTP_PROXY": "...@two:2",
        "NO_PROXY": "10.0.0.0/8",
    }
    for secret in ("p@ss", "ss/w", "secret", "hunter2"):
        assert secret not in output
