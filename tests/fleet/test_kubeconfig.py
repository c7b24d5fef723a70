import pytest
import yaml

from fleet.cluster_errors import KubeconfigError
from fleet.kubeconfig import ApiServer, parse_kubeconfig, read_server, through_port


def _kubeconfig(server: str = "https://127.0.0.1:6443", **cluster: object) -> str:
    return yaml.safe_dump(
        {
            "current-context": "default",
            "contexts": [{"name": "default", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [
                {"name": "other", "user": {"token": "not-ours"}},
                {"name": "u", "user": {"token": "ours"}},
            ],
        }
    )


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ("https://127.0.0.1:6443", ApiServer(host="127.0.0.1", port=6443)),
        ("https://10.0.0.5:7443/", ApiServer(host="10.0.0.5", port=7443)),
        ("https://api.example", ApiServer(host="api.example", port=443)),
        ("https://[fd00::5]:6443", ApiServer(host="fd00::5", port=6443)),
    ],
)
def test_host_and_port_are_taken_from_the_file(server: str, where: ApiServer) -> None:
    assert read_server(_kubeconfig(server)) == where


def test_a_forwarded_port_changes_the_address_and_not_what_is_verified() -> None:
    config = parse_kubeconfig(_kubeconfig("https://10.0.0.5:6443", **{"proxy-url": "http://p"}))
    cluster = through_port(config, 40123)["clusters"][0]["cluster"]
    assert cluster == {"server": "https://127.0.0.1:40123", "tls-server-name": "10.0.0.5"}
    assert config["clusters"][0]["cluster"]["server"] == "https://10.0.0.5:6443"


def test_a_server_name_in_the_file_is_kept() -> None:
    config = parse_kubeconfig(_kubeconfig(**{"tls-server-name": "kubernetes"}))
    assert through_port(config, 1)["clusters"][0]["cluster"]["tls-server-name"] == "kubernetes"


def test_only_the_current_contexts_user_is_kept() -> None:
    config = parse_kubeconfig(_kubeconfig())
    assert config["users"] == [{"name": "site", "user": {"token": "ours"}}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("a: [", "not YAML, line"),
        ("current-context: x", "contexts has no entry named 'x'"),
        (_kubeconfig("http://127.0.0.1:8080"), "expected an https"),
        (_kubeconfig(**{"insecure-skip-tls-verify": True}), "insecure-skip-tls-verify is on"),
    ],
)
def test_a_kubeconfig_that_is_no_use_is_refused(text: str, problem: str) -> None:
    with pytest.raises(KubeconfigError, match=problem):
        parse_kubeconfig(text)
