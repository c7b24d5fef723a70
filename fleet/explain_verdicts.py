"""What an explanation is made of: rungs with verdicts, and one cause with what mends it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from fleet.masking import mask_urls
from fleet.strict import Strict

_Shown = Annotated[str, AfterValidator(mask_urls)]


class CauseName(StrEnum):
    """Every cause that can be named; tests/cases/explain/ tells which symptom shows which."""

    IMAGE_ELSEWHERE = "image of another registry"
    IMAGE_NOT_IN_AZURE = "image not in Azure"
    CONNECTED_REGISTRY_MISSING = "no connected registry"
    DATA_ENDPOINT_OFF = "data endpoint off"
    NOT_SELECTED = "repository not selected"
    SYNC_SCOPE = "not in the sync scope"
    CLIENT_SCOPE = "not in the client's scope"
    TOKEN_MISSING = "no client token"  # noqa: S105
    TOKEN_DISABLED = "client token disabled"  # noqa: S105
    TOKEN_NOT_ACCEPTED = "client token not accepted by the site"  # noqa: S105
    PASSWORD_EXPIRED = "password expired"  # noqa: S105
    SITE_DISK = "site registry's disk"
    REGISTRIES_BROKEN = "registries file unreadable"
    SERVICE_DOWN = "node's service down"
    NODE_DISK = "node's disk full"
    NODE_CLOCK = "node's clock off"
    CLUSTER_SILENT = "cluster does not answer"
    CHART_JOB = "chart's job retries"
    CHART_MISSING = "registry not installed"
    VOLUME = "volume not bound"
    ALREADY_ACTIVATED = "already activated"
    SYNC_PASSWORD = "sync password refused"  # noqa: S105
    REGISTRY_DOWN = "registry not running"
    REGISTRY_SILENT = "registry does not answer"
    CERTIFICATE = "certificate refused"
    SECRET_RENEWED = "pull secret made anew"  # noqa: S105
    SECRET_MISSING = "pull secret missing"  # noqa: S105
    SECRET_UNATTACHED = "pull secret not attached"  # noqa: S105
    SECRET_HOST = "pull secret for another host"  # noqa: S105
    SECRET_USER = "another pull secret wins"  # noqa: S105
    PASSWORD_STALE = "password is not the token's"  # noqa: S105
    PASSWORD_NOT_SYNCED = "password not at the site yet"  # noqa: S105
    NOT_SYNCED = "image not synchronised yet"
    SITE_OFFLINE = "site not synchronising"
    PLATFORM = "image for another platform"
    CERTS_D = "containerd reads no mirrors"
    HOSTS_FILE = "hosts.toml broken"
    CLUSTER_NAME = "mirror by a cluster name"
    ENDPOINT_PATH = "path in the endpoint"
    TLS_BESIDE_HTTP = "tls beside an http endpoint"
    KEY_WITHOUT_PORT = "mirror key without the port"
    CA_MISSING = "CA missing on the node"
    MIRROR_MISSING = "mirror missing on the node"
    NODE_LOGIN = "credentials in the registries file"
    DEAD_ENDPOINT = "dead endpoint first"
    PORT_CLOSED = "port closed to the node"
    SERVED_BY_CLOUD = "served by the cloud"
    UNKNOWN_FAILURE = "pull failed for a reason not known here"
    NOT_SEEN = "not enough could be looked at"


class Verdict(StrEnum):
    """How a rung stands."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Cause(Strict):
    """Why a pull fails, in a sentence; what shows it; what to do first, and the command.

    Nodes' files and logs may hold URLs with a login, which is masked here.
    """

    name: CauseName
    sentence: _Shown
    evidence: tuple[_Shown, ...] = ()
    first: str = ""
    command: str = ""


class Step(Strict):
    """One rung of the ladder as it was found. `where` is the node or namespace, if there is one."""

    rung: str
    where: str = ""
    verdict: Verdict
    words: _Shown = ""
    cause: Cause | None = None


Steps = Iterator[Step]


def passed(rung: str, words: str = "", where: str = "") -> Step:
    """Return a rung that holds."""
    return Step(rung=rung, where=where, verdict=Verdict.PASSED, words=words)


def unknown(rung: str, why: str, where: str = "") -> Step:
    """Return a rung that could not be tried."""
    return Step(rung=rung, where=where, verdict=Verdict.UNKNOWN, words=why)


def warned(rung: str, words: str, where: str = "") -> Step:
    """Return a rung that holds, with something to know."""
    return Step(rung=rung, where=where, verdict=Verdict.WARNED, words=words)


def failed(rung: str, cause: Cause, where: str = "") -> Step:
    """Return a rung that does not hold."""
    return Step(rung=rung, where=where, verdict=Verdict.FAILED, words=cause.sentence, cause=cause)


def softened(step: Step, why: str) -> Step:
    """Return a failed rung as a warning, where what it leads to was seen to work all the same."""
    if step.verdict is not Verdict.FAILED:
        return step
    return warned(step.rung, f"{step.words} ({why})", step.where)
