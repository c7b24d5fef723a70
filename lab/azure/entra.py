"""The login service: OpenID discovery and tokens for client credentials."""

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography import x509

from lab.azure.client_assertions import Certificates
from lab.azure.errors import EntraError
from lab.azure.signing import EntraKey, lifetime
from lab.azure.state import Cloud

REGISTRY_AUDIENCE = "https://containerregistry.azure.net"
_ARM_AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
        "https://management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn",
    }
)
_ANY_TENANT = ("common", "organizations")


@dataclass
class Entra:
    """The tenant's applications (there is one) and its key."""

    cloud: Cloud
    token_life: float = 3599.0
    key: EntraKey = field(default_factory=EntraKey)
    secret: str = field(default_factory=lambda: f"{secrets.token_urlsafe(24)}~")
    certificates: Certificates = field(default_factory=Certificates)

    def add_routes(self, app: web.Application) -> None:
        """Serve discovery, the key set and the token endpoint."""
        for kind in ("/{tenant}/v2.0", "/{tenant}"):
            app.router.add_get(f"{kind}/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/{tenant}/discovery/v2.0/keys", self._keys)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)

    def trust(self, certificate: x509.Certificate) -> None:
        """Let the application also log in with this certificate's key."""
        self.certificates.add(certificate)

    async def _discovery(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        try:
            self._check_tenant(tenant, (*_ANY_TENANT, self.cloud.tenant))
        except EntraError as error:
            return refusal(error)
        base = f"https://{request.host}/{tenant}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code", "id_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "tenant_region_scope": None,
                "cloud_instance_name": request.host,
            }
        )

    async def _instance(self, request: web.Request) -> web.Response:
        host = request.host
        endpoint = f"https://{host}/common/v2.0/.well-known/openid-configuration"
        network = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return web.json_response(
            {
                "tenant_discovery_endpoint": endpoint,
                "api-version": "1.1",
                "metadata": [network],
            }
        )

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_jwk()]})

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        try:
            self._check_tenant(request.match_info["tenant"], (self.cloud.tenant,))
            self._check_client(form, str(request.url.with_query(None)))
            audience = self._audience(form.get("scope", ""), request.host)
        except EntraError as error:
            return refusal(error)
        token = self.key.sign(self._claims(audience))
        life = int(self.token_life)
        answer = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life}
        return web.json_response(answer | {"access_token": token})

    def _claims(self, audience: str) -> dict[str, Any]:
        tenant = self.cloud.tenant
        return {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant}/",
            **lifetime(self.token_life),
            "appid": self.cloud.client,
            "oid": str(uuid.uuid5(uuid.UUID(tenant), self.cloud.client)),
            "idtyp": "app",
            "tid": tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }

    def _check_tenant(self, tenant: str, known: tuple[str, ...]) -> None:
        if tenant.lower() not in known:
            message = (
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            )
            raise EntraError(400, "invalid_tenant", 90002, message)

    def _check_client(self, form: dict[str, str], endpoint: str) -> None:
        if form.get("grant_type") != "client_credentials":
            message = (
                f"The app has asked for the unsupported grant type '{form.get('grant_type')}'."
            )
            raise EntraError(400, "unsupported_grant_type", 70003, message)
        client = form.get("client_id", "")
        if client.lower() != self.cloud.client:
            message = f"Application with identifier '{client}' was not found in the directory."
            raise EntraError(400, "unauthorized_client", 700016, message)
        if "client_assertion" in form:
            self.certificates.check(form["client_assertion"], client, endpoint)
        elif "client_secret" not in form:
            message = "The request body must contain: 'client_assertion' or 'client_secret'."
            raise EntraError(401, "invalid_client", 7000218, message)
        elif not secrets.compare_digest(form["client_secret"].encode(), self.secret.encode()):
            message = f"Invalid client secret provided for the app '{client}'."
            raise EntraError(401, "invalid_client", 7000215, message)

    def _audience(self, scope: str, host: str) -> str:
        scopes = [each for each in scope.split() if each.endswith("/.default")]
        if not scopes:
            message = (
                f"The provided value for scope '{scope}' is not valid: it must end in /.default."
            )
            raise EntraError(400, "invalid_scope", 1002012, message)
        audience = scopes[0].removesuffix("/.default")
        if not (is_arm_audience(audience, host) or audience == REGISTRY_AUDIENCE):
            message = f"The resource principal named {audience} was not found in the tenant."
            raise EntraError(400, "invalid_resource", 500011, message)
        return audience


def is_arm_audience(audience: object, host: str) -> bool:
    """Tell whether a token for this audience may speak to ARM at `host`."""
    name = str(audience).rstrip("/")
    return name in _ARM_AUDIENCES or name == f"https://{host}"


def refusal(error: EntraError) -> web.Response:
    """Return an answer in the login service's shape."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    text = f"{error} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
    body = {
        "error": error.error,
        "error_description": text,
        "error_codes": [error.number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
    }
    return web.json_response(body, status=error.status)
