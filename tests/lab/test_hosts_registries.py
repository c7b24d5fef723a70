"""What the lab's K3s makes of a registries.yaml, and what containerd makes of that."""

import tomllib
from pathlib import Path

import pytest
import yaml

from lab.hosts.image_names import PullError, Reference, sources
from lab.hosts.registries import (
    HEADER,
    RegistriesError,
    parse_registries,
    render_config,
    render_hosts,
)

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
    config = tomllib.loads(render_config(parse_registries(text), "/certs.d", "/data"))
    registry = config["plugins"]["io.containerd.grpc.v1.cri"]["registry"]
    assert registry["config_path"] == "/certs.d"
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
    assert [source.url for source in sources(tmp_path, "127.0.0.1:5000")] == [
        "https://127.0.0.1:5000/v2"
    ]


def test_endpoints_come_before_the_host_itself(tmp_path):
    a_hosts_file(tmp_path, "a.io", '[host."http://m1"]\n[host."http://m2/v2"]\n')
    urls = [source.url for source in sources(tmp_path, "a.io")]
    assert urls == ["http://m1/v2", "http://m2/v2", "https://a.io/v2"]
    urls = [source.url for source in sources(tmp_path, "a.io", falls_back=False)]
    assert urls == ["http://m1/v2", "http://m2/v2"]


def test_a_hosts_own_file_wins_over_the_one_for_all(tmp_path):
    a_hosts_file(tmp_path, "_default", '[host."http://all"]\n')
    a_hosts_file(tmp_path, "a.io:1", '[host."http://one"]\n')
    assert sources(tmp_path, "a.io:1")[0].url == "http://one/v2"
    assert sources(tmp_path, "b.io")[0].url == "http://all/v2"


def test_a_file_that_is_no_toml_stops_the_pull(tmp_path):
    a_hosts_file(tmp_path, "a.io", "[host\n")
    with pytest.raises(PullError, match=r"invalid hosts\.toml"):
        sources(tmp_path, "a.io")
