import base64
from datetime import timedelta

import pytest

from fleet.distributions import DISTRIBUTIONS
from fleet.host_files import HostFile, sha256_of
from fleet.node_facts import CertsFolder, parse_facts, redact
from tests.node_output import NOW, some_facts

HEADER = DISTRIBUTIONS["k3s"].header


def test_facts_are_read() -> None:
    facts = some_facts("configs: {}\n")
    assert facts.version == "v1.31.4+k3s1"
    assert facts.containerd == "v2.1.5-k3s1"
    assert facts.now == NOW
    assert facts.services["k3s"].is_running
    assert not facts.services["rke2-server"].exists
    assert facts.registries.content == "configs: {}\n"
    assert facts.registries.sha256 == sha256_of("configs: {}\n")
    assert facts.registries.modified == NOW - timedelta(hours=2)
    assert facts.config_path == "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
    assert facts.config_modified == NOW - timedelta(hours=1)


def test_every_line_may_be_missing() -> None:
    for distribution in DISTRIBUTIONS.values():
        facts = parse_facts("oslo", "", distribution)
        assert facts.distribution is None
        assert facts.version is facts.config_path is facts.kubeconfig is facts.pulls is None
        assert not facts.has_systemd
        assert facts.data_dir == distribution.data_dir
        assert facts.registries.kind == facts.ca_file.kind == "absent"


def test_neither_the_registries_file_nor_the_kubeconfig_is_shown() -> None:
    kubeconfig = base64.b64encode(b"users: [{password: hunter3}]").decode()
    facts = some_facts("configs: {x: {auth: {password: hunter2}}}", kubeconfig=kubeconfig)
    assert "hunter" not in repr(facts)
    assert "hunter" not in facts.model_dump_json()
    assert facts.kubeconfig
    assert "hunter3" in facts.kubeconfig.get_secret_value()


def test_the_files_of_certs_d_are_read() -> None:
    facts = some_facts(hosts={"myacr.azurecr.io": f"{HEADER}\nserver = 1\n"}, certs=f"{HEADER}|x:5")
    assert facts.hosts_files["myacr.azurecr.io"].content == f"{HEADER}\nserver = 1\n"
    assert facts.hosts_files["10.43.0.9:80"].kind == "absent"
    assert facts.hosts_files["10.43.0.9:80"].path.endswith("/certs.d/10.43.0.9:80/hosts.toml")
    assert facts.certs_folders == (CertsFolder(name="x:5", header=HEADER),)


def test_options_modes_and_proxies_are_read() -> None:
    facts = some_facts(
        **{
            "setting.embedded-registry": "true",
            "setting.disable-kube-proxy": "false",
            "setting.snapshotter": "stargz",
            "mode": "600 root:root /etc/a file.yaml",
            "proxy.CONTAINERD_HTTP_PROXY": "http://...@proxy:3128",
            "selinux": "1",
            "pulls": "2",
        }
    )
    assert facts.has_embedded_mirror
    assert not facts.is_set("disable-kube-proxy")
    assert facts.settings["snapshotter"] == "stargz"
    assert facts.modes == {"/etc/a file.yaml": "600 root:root"}
    assert facts.proxies == {"CONTAINERD_HTTP_PROXY": "http://...@proxy:3128"}
    assert facts.selinux == "enforcing"
    assert facts.pulls == 2


def test_an_agent_shows_the_embedded_mirror_in_its_rendered_files() -> None:
    rendered = f'{HEADER}\n\n[host]\n\n[host."https://127.0.0.1:6443/v2"]\n'
    assert some_facts(role="agent", hosts={"myacr.azurecr.io": rendered}).has_embedded_mirror


def test_a_left_over_dead_man_is_read() -> None:
    armed = str(int(NOW.timestamp()) - 60)
    facts = some_facts(
        **{"deadman": "0f1e", "deadman.0f1e.armed_by": "process", "deadman.0f1e.armed_at": armed}
    )
    assert [(one.id, one.armed_by) for one in facts.deadmen] == [("0f1e", "process")]
    assert facts.deadmen[0].armed_at == NOW - timedelta(minutes=1)
    assert facts.deadmen[0].fired_at is None


@pytest.mark.parametrize(
    ("version", "dump", "folder"),
    [
        ("v2.1.5", "", "/etc/containerd/certs.d"),
        ("v2.1.5", "yes", None),
        ("1.7.23", "", None),
    ],
)
def test_containerds_default_counts_where_it_cannot_print_its_configuration(
    version: str, dump: str, folder: str | None
) -> None:
    changes = {
        "config_path": "",
        "config_dump": dump,
        "version.containerd": f"containerd {version}",
    }
    assert some_facts(of="containerd", **changes).config_path == folder


def test_the_first_folder_of_containerds_list_is_ours() -> None:
    facts = some_facts(of="containerd", config_path="/etc/containerd/certs.d:/etc/docker/certs.d")
    assert facts.config_path == "/etc/containerd/certs.d"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ('level=info msg="token=K10abcdef0123456789abcdef::server:pw next"', "next"),
        ("--token-file /x --token: hunter2 next", "next"),
        ("joined with K10abcdef0123456789abcdef::server:hunter2 next", "next"),
        ('registry "password": "hunter2", next', "next"),
    ],
)
def test_logs_lose_what_looks_like_a_secret(log: str, shown: str) -> None:
    assert shown in redact(log)
    assert "hunter2" not in redact(log)
    assert "server:pw" not in redact(log)


def test_no_file_is_a_file_too() -> None:
    assert HostFile(path="/x").content is None
