"""The helm command line: which versions fit, what it is told to do, what its failures mean."""

import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import SecretStr

from fleet.cluster_errors import (
    ChartFailedError,
    ChartUnreachableError,
    ClusterChangedError,
    ClusterUnreachableError,
    HelmMissingError,
)
from fleet.connection_string import parse_connection_string
from fleet.errors import FleetError
from fleet.helm_release import release_labels
from fleet.host_errors import ConnectionLostError
from fleet.kubeconfig import parse_kubeconfig
from fleet.sites import Site, Strict

OLDEST = (3, 17)
_NEWEST_MAJOR = 4
_HISTORY = 5
_MOST_WORDS = 2000
_HOW = (
    "Install helm 3.17 or newer, or helm 4, on the machine that runs acrfleet and have it on PATH "
    "(https://helm.sh/docs/intro/install), or let the cluster's own helm-controller install the "
    "chart: `chart.installer: helm-controller`."
)
_BUSY = "another operation (install/upgrade/rollback) is in progress"
_UNREACHABLE = (
    "cluster unreachable",
    "connection refused",
    "connection reset by peer",
    "TLS handshake timeout",
    "i/o timeout",
    "unexpected EOF",
    '": EOF',
    "no route to host",
    "no such host",
    "temporary failure in name resolution",
    "the server is currently unable to handle the request",
    "etcdserver: request timed out",
)


class HelmVersion(Strict):
    """The version of a helm program."""

    major: int
    minor: int

    def __str__(self) -> str:
        """Return for example 3.17."""
        return f"{self.major}.{self.minor}"


def no_helm(program: str) -> HelmMissingError:
    """Return the error for a machine without helm."""
    return HelmMissingError(f"There is no `{program}` on this machine's PATH. {_HOW}")


def check_helm_version(text: str) -> HelmVersion:
    """Return the version in what `helm version --short` prints, for example v3.17.2+gcc0bbbd.

    Raises:
        HelmMissingError: It is older than what acrfleet is tested with, or newer than Helm 4.
    """
    found = re.match(r"v(\d+)\.(\d+)\.\d+", text.strip())
    if found is None:
        raise HelmMissingError(f"`helm version` said {text.strip()[:80]!r}. {_HOW}")
    version = HelmVersion(major=int(found[1]), minor=int(found[2]))
    if (version.major, version.minor) < OLDEST or version.major > _NEWEST_MAJOR:
        raise HelmMissingError(f"The helm on this machine is {found[0]}. {_HOW}")
    return version


def upgrade_arguments(
    site: Site, version: HelmVersion, *, kubeconfig: str, values: str
) -> list[str]:
    """Return helm's arguments to install or upgrade a site's release; none of them is a secret.

    Not in it on purpose (docs/decisions/0013-helm-command-line.md): `--atomic`, whose failed
    install uninstalls the volume; `--wait`, because what follows proves more; `--set`.

    Args:
        site: The site.
        version: Which helm will read them.
        kubeconfig: Path of the kubeconfig.
        values: Path of the values.
    """
    chart = site.chart
    labels = ",".join(f"{key}={value}" for key, value in release_labels(site).items())
    arguments = [
        *("upgrade", chart.release, chart.reference, "--install", "--reset-values"),
        *("--version", chart.version, "--namespace", chart.namespace),
        *("--kubeconfig", kubeconfig, "--values", values, "--labels", labels),
        *("--history-max", str(_HISTORY), "--hide-notes"),
    ]
    # Helm 3 always merges on the client; the same with Helm 4 keeps both able to follow each other.
    return [*arguments, "--server-side=false"] if version.major >= _NEWEST_MAJOR else arguments


def uninstall_arguments(namespace: str, release: str, *, kubeconfig: str) -> list[str]:
    """Return helm's arguments to uninstall a release, with the volume that the chart owns."""
    place = ("--namespace", namespace, "--kubeconfig", kubeconfig)
    return ["uninstall", release, *place, "--ignore-not-found"]


def explain_failure(site: Site, status: int, words: str) -> FleetError:
    """Return the error that helm's exit status and last words stand for.

    Args:
        site: The site.
        status: As `subprocess` has it: negative for a signal.
        words: What helm wrote to stderr, redacted.
    """
    if status < 0:
        return ConnectionLostError(
            f"helm was killed by signal {-status} while it worked on {site.name}; the next try "
            "looks at what it left."
        )
    at = words.find("Error:")
    shown = words[at:][:_MOST_WORDS] if at >= 0 else words[-_MOST_WORDS:]
    told = " ".join(shown.split()) or "it said nothing"
    if _BUSY in told:
        return ClusterChangedError(
            f"Another helm works on the release {site.chart.release} of {site.name}."
        )
    if any(sign.casefold() in told.casefold() for sign in _UNREACHABLE):
        if urlsplit(site.chart.reference).netloc in told:
            return ChartUnreachableError(f"helm could not pull {site.chart.reference}: {told}")
        return ClusterUnreachableError(f"helm lost the cluster of {site.name}: {told}")
    return ChartFailedError(
        f"helm could not install the chart {site.chart.reference} {site.chart.version} at "
        f"{site.name}: {told}"
    )


def redact_words(
    words: str, kubeconfig: SecretStr, connection_string: SecretStr | None = None
) -> str:
    """Return helm's words without the secrets that it was given, in any spelling it could quote."""
    for value in [*_spellings(connection_string), *_keys(kubeconfig)]:
        words = words.replace(value, "(not shown)")
    return words


def _spellings(connection_string: SecretStr | None) -> Iterator[str]:
    if connection_string is None:
        return
    text = connection_string.get_secret_value()
    parsed = parse_connection_string(connection_string)
    yield text
    yield b64encode(text.encode()).decode()
    if parsed is not None:
        yield parsed.password.get_secret_value()


def _keys(kubeconfig: SecretStr) -> Iterator[str]:
    for user in parse_kubeconfig(kubeconfig.get_secret_value())["users"]:
        yield from (value for value in user["user"].values() if value and isinstance(value, str))
