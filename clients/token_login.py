"""Whether a registry in the cloud lets a token in: asked of its own token endpoint.

What Resource Manager says is not proof: a renewed password counts a minute later there
(facts/connected-registry.md §3), and a removed one has to be refused where it would be used.
"""

import re
from base64 import b64encode
from urllib.parse import urlencode, urlsplit

from azure.core.pipeline.transport import HttpRequest
from azure.core.pipeline.transport import HttpResponse as HttpAnswer
from pydantic import SecretStr

from clients.azure_transport import BoundedTransport
from fleet.azure_errors import AzureBusyError, AzureRefusedError


def is_let_in(
    transport: BoundedTransport, login_server: str, user: str, password: SecretStr, repository: str
) -> bool:
    """Return whether the registry issues a token for these credentials.

    Args:
        transport: Sends the requests.
        login_server: HOST or HOST:PORT; the password goes nowhere else.
        user: Name of the token.
        password: Its password.
        repository: For which a token is asked; whether it may be pulled does not matter.

    Raises:
        AzureBusyError: The registry says to try later.
        AzureRefusedError: It does not answer as a registry does.
    """
    realm, service = _read_challenge(transport, login_server)
    query = urlencode({"service": service, "scope": f"repository:{repository}:pull"})
    secret = b64encode(f"{user}:{password.get_secret_value()}".encode()).decode()
    answer = _get(transport, f"{realm}?{query}", {"Authorization": f"Basic {secret}"})
    if answer.status_code in (401, 403):
        return False
    if answer.status_code != 200:
        raise _strange(login_server, f"its token endpoint answered {answer.status_code}")
    return True


def _read_challenge(transport: BoundedTransport, login_server: str) -> tuple[str, str]:
    answer = _get(transport, f"https://{login_server}/v2/", {})
    header = answer.headers.get("WWW-Authenticate") or ""
    parts = dict(re.findall(r'(\w+)="([^"]*)"', header))
    realm = urlsplit(parts.get("realm", ""))
    if answer.status_code != 401 or realm.scheme != "https":
        raise _strange(login_server, f"/v2/ answered {answer.status_code} without a challenge")
    if realm.netloc.casefold() != login_server.casefold():
        raise _strange(login_server, f"it sends clients to {realm.netloc} for a token")
    return parts["realm"], parts.get("service", "")


def _get(transport: BoundedTransport, url: str, headers: dict[str, str]) -> HttpAnswer:
    request = HttpRequest("GET", url, {"User-Agent": "acrfleet", **headers})
    answer: HttpAnswer = transport.send(request)
    if answer.status_code in (408, 429) or answer.status_code >= 500:
        host = urlsplit(url).netloc
        raise AzureBusyError(f"the registry {host} is busy: it answered {answer.status_code}")
    return answer


def _strange(login_server: str, what: str) -> AzureRefusedError:
    return AzureRefusedError(f"the registry {login_server} does not behave as one: {what}")
