"""What the lab's K3s makes of a registries.yaml, and what containerd makes of that."""

import tomllib
from pathlib import Path

import pytest
import yaml

from lab.hosts.distributions import distribution_of
from lab.hosts.hosts_files import Reader, sources
from lab.hosts.image_names import PullError, Reference
from lab.hosts.registries import HEADER, RegistriesError, parse_registries, render_hosts
from lab.hosts.rendered_config import render_config

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/lab_hosts_registries.yaml").read_text())


def rendered(text, **more):
    files = render_hosts(parse_registries(text), **more)
    assert all(content.startswith(HEADER) for content in files.values())
    return {host: tomllib.loads(content) for host, content in files.items()}


@pytest.mark.parametrize("case", CASES["rendered"], ids=lambda case: case["name"])
def test_containerds_files_are_rendered_from(case):
    assert rendered(case["file"], **case.get("options", {})) == case["hosts"]


@pytest.mark.parametrize("case", CASES["fatal"], ids=lambda case: case["name"])
def test_k3s_dies_of(case):
    with pytest.raises(RegistriesError) as caught:
        parse_registries(case["file"])
    assert str(caught.value) == case["words"].rstrip("\n")


@pytest.mark.parametrize("text", CASES["dropped"])
def test_k3s_silently_drops_what_it_does_not_know(text):
    assert rendered(text) == {}


def test_credentials_go_into_containerds_own_file():
    text = "configs: {'a:1': {auth: {username: u, password: p}}}"
    k3s = distribution_of("k3s", "server")
    config = tomllib.loads(render_config(parse_registries(text), k3s, "/data"))
    registry = config["plugins"]["io.containerd.grpc.v1.cri"]["registry"]
    assert registry["config_path"] == "/data/agent/etc/containerd/certs.d"
    assert registry["configs"] == {"a:1": {"auth": {"username": "u", "password": "p"}}}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("a.io/b/c:1", "a.io/b/c:1"),
        ("a.io:5000/b", "a.io:5000/b:latest"),
        ("busybox", "docker.io/library/busybox:latest"),
        ("org/app:2", "docker.io/org/app:2"),
        ("localhost/x:1", "localhost/x:1"),
        ("a.io/b@sha256:00", "a.io/b@sha256:00"),
        ("127.0.0.1:5000/vessel/nav:2.1", "127.0.0.1:5000/vessel/nav:2.1"),
    ],
)
def test_image_names_are_completed_like_dockers(name, full):
    assert str(Reference.parse(name)) == full


def test_an_impossible_image_name_is_refused():
    with pytest.raises(PullError, match="invalid reference format"):
        Reference.parse("a.io/UPPER:1")


def a_hosts_file(folder, name, text):
    (folder / name).mkdir()
    (folder / name / "hosts.toml").write_text(text)


def test_without_a_file_only_the_host_itself_is_asked(tmp_path):
    assert [source.url for source in sources(tmp_path, "127.0.0.1:5000", Reader(tmp_path))] == [
        "https://127.0.0.1:5000/v2"
    ]


def test_endpoints_come_before_the_host_itself(tmp_path):
    a_hosts_file(tmp_path, "a.io", '[host."http://m1"]\n[host."http://m2/v2"]\n')
    urls = [source.url for source in sources(tmp_path, "a.io", Reader(tmp_path))]
    assert urls == ["http://m1/v2", "http://m2/v2", "https://a.io/v2"]
    urls = [source.url for source in sources(tmp_path, "a.io", Reader(tmp_path), falls_back=False)]
    assert urls == ["http://m1/v2", "http://m2/v2"]


def test_a_hosts_own_file_wins_over_the_one_for_all(tmp_path):
    a_hosts_file(tmp_path, "_default", '[host."http://all"]\n')
    a_hosts_file(tmp_path, "a.io:1", '[host."http://one"]\n')
    assert sources(tmp_path, "a.io:1", Reader(tmp_path))[0].url == "http://one/v2"
    assert sources(tmp_path, "b.io", Reader(tmp_path))[0].url == "http://all/v2"


def test_a_file_that_is_no_toml_is_logged_and_counts_as_empty(tmp_path):
    logged = []
    a_hosts_file(tmp_path, "a.io", "[host\n")
    found = sources(tmp_path, "a.io", Reader(tmp_path, log=logged.append))
    assert [source.url for source in found] == ["https://a.io/v2"]
    assert "failed to decode hosts.toml" in logged[0]


def test_a_folder_with_underscores_stands_for_a_port_and_comes_first(tmp_path):
    a_hosts_file(tmp_path, "a.io_1_", '[host."http://port"]\n')
    a_hosts_file(tmp_path, "a.io:1", '[host."http://colon"]\n')
    assert sources(tmp_path, "a.io:1", Reader(tmp_path))[0].url == "http://port/v2"


def test_an_endpoint_that_only_takes_pushes_is_not_asked(tmp_path):
    text = '[host."http://m1"]\ncapabilities = ["push"]\n[host."http://m2"]\n'
    a_hosts_file(tmp_path, "a.io", text)
    urls = [source.url for source in sources(tmp_path, "a.io", Reader(tmp_path))]
    assert urls == ["http://m2/v2", "https://a.io/v2"]


@pytest.mark.parametrize(
    ("text", "containerd", "seconds"),
    [
        ("2s", (2, 1, 0), 2.0),
        ("1m30s", (2, 1, 4), 90.0),
        ("200ms", (2, 1, 0), 0.2),
        ("2s", (2, 0, 4), None),
        ("2s", (1, 7, 23), None),
        ("soon", (1, 7, 23), None),
    ],
)
def test_a_dial_timeout_is_a_go_duration_for_containerd_that_knows_it(
    tmp_path, text, containerd, seconds
):
    a_hosts_file(tmp_path, "a.io", f'[host."http://m"]\ndial_timeout = "{text}"\n')
    found = sources(tmp_path, "a.io", Reader(tmp_path, containerd))
    assert found[0].dial_timeout == seconds


def test_a_dial_timeout_that_is_none_fails_the_pull(tmp_path):
    a_hosts_file(tmp_path, "a.io", '[host."http://m"]\ndial_timeout = "soon"\n')
    with pytest.raises(PullError, match="invalid duration"):
        sources(tmp_path, "a.io", Reader(tmp_path))
