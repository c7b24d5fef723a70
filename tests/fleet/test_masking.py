"""Differences of files: readable, and without the secrets that the files may hold."""

import pytest

from fleet.masking import MASK, file_difference, mask_secrets, mask_values

REGISTRIES = "/etc/rancher/k3s/registries.yaml"
HOSTS = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/x/hosts.toml"


@pytest.mark.parametrize(
    "text",
    [
        "configs:\n  a.example:\n    auth:\n      username: joe\n      password: canary-1\n",
        "configs: {a.example: {auth: {password: 'canary-1', username: joe}}}\n",
        "configs:\n  a.example:\n    auth: {auth: Y2FuYXJ5LTE=, identity_token: canary-1}\n",
        "configs:\n  a.example:\n    auth:\n      password: |\n        canary-1\n        canary\n",
        '\ufeffconfigs:\n  a.example:\n    auth:\n      password: "can\\u0061ry-1"\n',
        "mirrors:\n  a.example:\n    endpoint: ['https://joe:canary-1@cache.example']\n",
    ],
)
def test_no_secret_of_a_registries_file_is_shown(text: str) -> None:
    shown = mask_secrets(REGISTRIES, text)
    assert shown is not None
    assert "canary" not in shown
    assert "Y2FuYXJ5" not in shown
    assert MASK in shown
    assert "a.example" in shown


def test_what_is_not_secret_is_shown_as_it_is() -> None:
    text = "mirrors:\n  a.example:\n    endpoint:\n      - http://10.43.0.9:80 # ours\n"
    assert mask_secrets(REGISTRIES, text) == text


def test_a_file_that_cannot_be_read_is_not_shown_at_all() -> None:
    broken = "configs: {a: {auth: {password: canary-1\n"
    assert mask_secrets(REGISTRIES, broken) is None
    assert "canary" not in "".join(file_difference(REGISTRIES, broken, "mirrors: {}\n"))


def test_a_hosts_file_that_sends_headers_is_not_shown_at_all() -> None:
    text = '[host."http://a"]\n  [host."http://a".header]\n    Authorization = "Basic canary"\n'
    difference = "".join(file_difference(HOSTS, text, 'server = "https://a/v2"\n'))
    assert "canary" not in difference
    assert "not shown" in difference


def test_a_difference_has_its_lines_and_their_surroundings() -> None:
    before = 'server = "https://a/v2"\n'
    after = 'server = "https://a/v2"\n[host."http://10.43.0.9:80/v2"]\n'
    assert file_difference(HOSTS, before, after)[1:] == (
        ' server = "https://a/v2"',
        '+[host."http://10.43.0.9:80/v2"]',
    )
    assert file_difference(HOSTS, None, before)[1:] == ('+server = "https://a/v2"',)
    assert file_difference(HOSTS, before, None)[1:] == ('-server = "https://a/v2"',)
    assert file_difference(HOSTS, before, before) == ()


def test_where_only_a_secret_differs_that_is_all_that_is_said() -> None:
    one = "configs: {a: {auth: {password: canary-1}}}\n"
    other = one.replace("canary-1", "canary-2")
    assert file_difference(REGISTRIES, one, other) == ("@ only what is secret differs",)


def test_values_that_somebody_put_into_a_chart_are_masked_and_ours_are_not() -> None:
    wanted = {"tls": {"secret": "registry-tls"}, "sync": {"chunkSizeInMb": 10}}
    found = {
        "tls": {"secret": "registry-tls"},
        "sync": {"chunkSizeInMb": 3},
        "connectionString": "canary",
        "proxy": {"url": "http://joe:canary@proxy:3128", "password": "canary"},
        "list": [{"apiKey": "canary"}],
    }
    shown = mask_values(found, wanted)
    assert "canary" not in str(shown)
    assert shown["tls"] == {"secret": "registry-tls"}
    assert shown["sync"] == {"chunkSizeInMb": 3}
