"""Who may do what in one registry: challenge, exchange, tokens."""

import base64
import binascii
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from lab.azure.entra import REGISTRY_AUDIENCE, Entra, is_arm_audience
from lab.azure.errors import DockerError
from lab.azure.rules import allows
from lab.azure.signing import BadTokenError, lifetime
from lab.azure.state import Registry, Token
from lab.clock import Clock

_ANYBODY = "00000000-0000-0000-0000-000000000000"
_ACCESS_LIFE = 75 * 60
_REFRESH_LIFE = 35 * 60
_VERBS = {
    "pull": "content/read",
    "push": "content/write",
    "delete": "content/delete",
    "metadata_read": "metadata/read",
    "metadata_write": "metadata/write",
}


@dataclass(frozen=True)
class Scope:
    """What a request needs: `verb` on the repository, or the catalog when there is none."""

    repository: str | None
    verb: str

    def __str__(self) -> str:
        if self.repository is None:
            return f"registry:catalog:{self.verb}"
        return f"repository:{self.repository}:{self.verb}"


class RegistryLogin:
    """Checks credentials and issues the registry's tokens.

    An access token says what it allows when it is issued; whether a real one outlives its password
    is unknown, here it does until it expires.
    """

    def __init__(self, registry: Registry, entra: Entra, arm_host: Callable[[], str], clock: Clock):
        """Keep the registry, the tenant that vouches for principals, and ARM's address."""
        self._registry = registry
        self._entra = entra
        self._arm_host = arm_host
        self._clock = clock

    async def exchange(self, request: web.Request) -> web.Response:
        """Exchange an Entra token for the registry's refresh token."""
        form = await _form(request)
        if form.get("grant_type") not in ("access_token", "access_token_refresh_token"):
            raise DockerError(400, "UNSUPPORTED", f"grant type {form.get('grant_type')!r}")
        try:
            claims = self._entra.key.verify(form.get("access_token", ""))
        except BadTokenError as error:
            raise unauthorized(f"the Entra token is no good: {error}") from error
        self._check_audience(claims.get("aud"))
        return web.json_response({"refresh_token": self._refresh_token(str(claims["appid"]))})

    async def token(self, request: web.Request) -> web.Response:
        """Issue an access token for the scopes that were asked for, as far as they are allowed."""
        form = await _form(request) if request.method == "POST" else {}
        grant = form.get("grant_type")
        if grant == "refresh_token":
            who = self._principal(form.get("refresh_token", ""))
        elif grant == "password":
            who = self.log_in(form.get("username", ""), form.get("password", ""))
        elif grant is None:
            who = self.log_in(*basic_credentials(request))
        else:
            raise DockerError(400, "UNSUPPORTED", f"grant type {grant!r}")
        scopes = form.get("scope", "").split()
        for value in request.query.getall("scope", []):
            scopes += value.split()
        answer = {"access_token": self.access_token(who, scopes)}
        if request.query.get("offline_token") == "true" or form.get("access_type") == "offline":
            answer["refresh_token"] = self._refresh_token(who)
        return web.json_response(answer)

    def log_in(self, user: str, password: str) -> str:
        """Return the name of a token or application with this password, or refuse."""
        if user == _ANYBODY:
            return self._principal(password)
        if user.lower() == self._entra.cloud.client:
            if secrets.compare_digest(password.encode(), self._entra.secret.encode()):
                return self._entra.cloud.client
            raise unauthorized()
        token = self._registry.tokens.get(user)
        if token is None or not self.accepts(token, password):
            raise unauthorized()
        return token.name

    def accepts(self, token: Token, password: str) -> bool:
        """Tell whether the token is enabled and one of its slots has this password now."""
        now = self._clock.now()
        good = any(each.matches(password, now) for each in token.slots.values())
        return token.status == "enabled" and good

    def access_token(self, who: str, scopes: list[str]) -> str:
        """Return an access token with what `who` may do of `scopes`."""
        access = [granted for scope in scopes if (granted := self._granted(who, scope))]
        claims = {"sub": who, "aud": self._registry.login_server, "access": access}
        grant = {"jti": secrets.token_hex(16), "grant_type": "access_token"}
        return self._registry.key.sign(claims | lifetime(_ACCESS_LIFE) | grant)

    def check(self, request: web.Request, scope: Scope | None) -> None:
        """Refuse a request whose token does not allow `scope`; None needs any token."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if not value:
            raise self._challenge(scope)
        if kind.lower() == "basic":
            who = self.log_in(*basic_credentials(request))
            value = self.access_token(who, [str(scope)] if scope else [])
        try:
            claims = self._registry.key.verify(value)
        except BadTokenError as error:
            raise self._challenge(scope, "invalid_token") from error
        if claims.get("grant_type") != "access_token":
            raise self._challenge(scope, "invalid_token")
        if scope is not None and not _covers(claims["access"], scope):
            raise self._challenge(scope, "insufficient_scope")

    def _check_audience(self, audience: Any) -> None:
        if str(audience).rstrip("/") == REGISTRY_AUDIENCE:
            return
        if not self._registry.arm_audience_allowed or not is_arm_audience(
            audience, self._arm_host()
        ):
            raise unauthorized(f"tokens for {audience} are not accepted")

    def _principal(self, refresh_token: str) -> str:
        try:
            claims = self._registry.key.verify(refresh_token)
        except BadTokenError as error:
            raise unauthorized(f"the refresh token is no good: {error}") from error
        who = str(claims["sub"])
        token = self._registry.tokens.get(who)
        gone = who != self._entra.cloud.client and (token is None or token.status != "enabled")
        if claims.get("grant_type") != "refresh_token" or gone:
            raise unauthorized()
        return who

    def _refresh_token(self, who: str) -> str:
        claims = {"sub": who, "aud": self._registry.login_server, "grant_type": "refresh_token"}
        identity = {"jti": secrets.token_hex(16), "tenant": self._entra.cloud.tenant}
        return self._registry.key.sign(claims | lifetime(_REFRESH_LIFE) | identity)

    def _granted(self, who: str, scope: str) -> dict[str, Any] | None:
        kind, _, rest = scope.partition(":")
        name, _, verbs = rest.rpartition(":")
        allowed = [verb for verb in verbs.split(",") if self._may(who, kind, name, verb)]
        return {"type": kind, "name": name, "actions": allowed} if allowed else None

    def _may(self, who: str, kind: str, name: str, verb: str) -> bool:
        """Applications may do everything; a token what its scope map says, never the catalog."""
        if who == self._entra.cloud.client:
            return True
        token = self._registry.tokens.get(who)
        if token is None or kind != "repository":
            return False
        actions = self._registry.scope_maps[token.scope_map].actions
        verbs = _VERBS if verb == "*" else [verb]
        return all(each in _VERBS and allows(actions, name, _VERBS[each]) for each in verbs)

    def _challenge(self, scope: Scope | None, error: str | None = None) -> DockerError:
        server = self._registry.login_server
        challenge = f'Bearer realm="https://{server}/oauth2/token",service="{server}"'
        if scope is not None:
            challenge += f',scope="{scope}"'
        if error is not None:
            challenge += f',error="{error}"'
        return unauthorized(headers={"Www-Authenticate": challenge})


def basic_credentials(request: web.Request) -> tuple[str, str]:
    """Return user and password of a Basic login, or refuse."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        raise unauthorized()
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise unauthorized() from error
    return user, password


def unauthorized(
    message: str = "authentication required, visit https://aka.ms/acr/authorization",
    headers: dict[str, str] | None = None,
) -> DockerError:
    """Return the registry's 401."""
    return DockerError(401, "UNAUTHORIZED", message, headers)


def _covers(access: list[dict[str, Any]], scope: Scope) -> bool:
    wanted = ("registry", "catalog") if scope.repository is None else None
    wanted = wanted or ("repository", str(scope.repository))
    for entry in access:
        covered = scope.verb in entry["actions"] or "*" in entry["actions"]
        if covered and (entry["type"], entry["name"]) == wanted:
            return True
    return False


async def _form(request: web.Request) -> dict[str, str]:
    return {key: str(value) for key, value in (await request.post()).items()}
