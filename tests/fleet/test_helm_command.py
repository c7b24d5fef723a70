from base64 import b64encode

import pytest
from pydantic import SecretStr

from fleet.cluster_errors import (
    ChartFailedError,
    ChartUnreachableError,
    ClusterChangedError,
    ClusterUnreachableError,
    HelmMissingError,
)
from fleet.connection_string import build_connection_string
from fleet.errors import FleetError
from fleet.helm_command import (
    check_helm_version,
    explain_failure,
    redact_words,
    upgrade_arguments,
)
from fleet.host_errors import ConnectionLostError
from tests.builders import a_site

SITE = a_site()
KUBECONFIG = """
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "https://x"}}]
users: [{name: a, user: {token: token-canary, client-key-data: key-canary}}]
"""


@pytest.mark.parametrize("text", ["v3.17.0", "v3.19.0+g12", "v4.3.1+gc0d08d0\n", "v3.17.2-rc.1"])
def test_helm_3_17_and_later_and_helm_4_fit(text: str) -> None:
    assert str(check_helm_version(text)) == ".".join(text[1:].split(".")[:2])


@pytest.mark.parametrize(
    "text",
    ["v3.16.4", "v3.8.1+g5cb9af4", "v2.17.0", "v5.0.0", "Client: v2.9", "", "command failed"],
)
def test_other_helms_are_refused_with_what_to_install(text: str) -> None:
    with pytest.raises(HelmMissingError, match=r"Install helm 3\.17 or newer, or helm 4"):
        check_helm_version(text)


def test_the_arguments_uninstall_nothing_and_hold_no_value() -> None:
    for text, extra in (("v3.17.2", []), ("v4.3.1", ["--server-side=false"])):
        arguments = upgrade_arguments(
            SITE, check_helm_version(text), kubeconfig="/dev/fd/5", values="/dev/fd/6"
        )
        assert arguments[:4] == ["upgrade", "connected-registry", SITE.chart.reference, "--install"]
        assert [one for one in arguments if "server-side" in one] == extra
        assert not {"--atomic", "--rollback-on-failure", "--set", "--wait", "--force"} & {
            *arguments
        }


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (-9, "", ConnectionLostError),
        (1, "", ChartFailedError),
        (1, "Error: values don't meet the specifications", ChartFailedError),
        (
            1,
            "Error: mcr.microsoft.com/acr/connected-registry/chart:9.9.9: not found",
            ChartFailedError,
        ),
        (
            1,
            'Error: Head "https://mcr.microsoft.com/v2/": dial tcp: lookup: i/o timeout',
            ChartUnreachableError,
        ),
        (
            1,
            'Error: Kubernetes cluster unreachable: Get "https://127.0.0.1:1/version": EOF',
            ClusterUnreachableError,
        ),
        (
            1,
            'Error: Post "https://127.0.0.1:1/api": read tcp: connection reset by peer',
            ClusterUnreachableError,
        ),
        (
            1,
            "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
            ClusterChangedError,
        ),
    ],
)
def test_a_failure_is_worth_another_try_or_needs_a_person(
    status: int, words: str, kind: type[FleetError]
) -> None:
    assert type(explain_failure(SITE, status, words)) is kind


def test_only_helms_own_last_words_are_quoted() -> None:
    words = "Pulled: mcr.microsoft.com/x\nDigest: sha256:1\nError: no\n  matches for kind"
    assert str(explain_failure(SITE, 1, words)).endswith("oslo: Error: no matches for kind")
    assert str(explain_failure(SITE, 1, " ")).endswith("oslo: it said nothing")


def test_no_spelling_of_a_secret_is_quoted() -> None:
    text = build_connection_string(
        "oslo", "oslo-sync", SecretStr("password-canary"), "https://x.example"
    )
    encoded = b64encode(text.get_secret_value().encode()).decode()
    words = f"{text.get_secret_value()} {encoded} password-canary token-canary key-canary end"
    shown = redact_words(words, SecretStr(KUBECONFIG), text)
    assert shown == "(not shown) " * 5 + "end"
    assert redact_words("key-canary end", SecretStr(KUBECONFIG)) == "(not shown) end"
