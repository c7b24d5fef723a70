"""What the product and containerd rely on from a site's registry: login, content, lists."""

import hashlib
import re
from dataclasses import dataclass

import httpx

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
NOWHERE = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class RegistryTarget:
    """A registry that serves one image of `repository`, an OCI manifest, to `user`.

    `closed` is a repository that it has, too, but which the user may not read.
    """

    url: str
    user: str
    password: str
    repository: str
    tag: str
    closed: str

    def get(self, path: str, token: str = "", method: str = "GET", **headers: str):
        fields = {"Accept": MANIFEST_TYPES, **headers}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        url = path if path.startswith("http") else f"{self.url}{path}"
        return httpx.request(method, url, headers=fields)

    def log_in(self, scope: str = "", password: str | None = None, user: str | None = None):
        """Ask for a token where the challenge says."""
        realm, service = self.challenge(self.get("/v2/"))["realm"], self.url.partition("//")[2]
        query = {"service": service, **({"scope": scope} if scope else {})}
        login = (user or self.user, self.password if password is None else password)
        return httpx.get(realm, params=query, auth=login)

    def token(self, scope: str | None = None) -> str:
        wanted = f"repository:{self.repository}:pull" if scope is None else scope
        return str(self.log_in(wanted).raise_for_status().json()["access_token"])

    def challenge(self, answer: httpx.Response) -> dict[str, str]:
        scheme, _, rest = answer.headers["www-authenticate"].partition(" ")
        assert scheme == "Bearer"
        return dict(re.findall(r'(\w+)="([^"]*)"', rest))

    @property
    def manifest_path(self) -> str:
        return f"/v2/{self.repository}/manifests/{self.tag}"


def code_of(answer: httpx.Response) -> str:
    """Return the code of Docker's error envelope."""
    assert answer.headers["content-type"].startswith("application/json")
    return str(answer.json()["errors"][0]["code"])


class LoginContract:
    def test_without_a_token_the_registry_says_where_to_get_one(
        self, registry: RegistryTarget
    ) -> None:
        answer = registry.get("/v2/")
        assert answer.status_code == 401
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert code_of(answer) == "UNAUTHORIZED"
        challenge = registry.challenge(answer)
        assert challenge["realm"] == f"{registry.url}/acr/oauth2/token"
        assert challenge["service"] == registry.url.partition("//")[2]

    def test_a_manifests_challenge_names_its_scope(self, registry: RegistryTarget) -> None:
        for method in ("GET", "HEAD"):
            answer = registry.get(registry.manifest_path, method=method)
            assert answer.status_code == 401
            scope = f"repository:{registry.repository}:pull"
            assert registry.challenge(answer)["scope"] == scope

    def test_a_login_yields_a_bearer_token(self, registry: RegistryTarget) -> None:
        answer = registry.log_in()
        assert answer.status_code == 200
        content = answer.json()
        assert content["access_token"].count(".") == 2
        assert content["expires_in"] > 60
        assert registry.get("/v2/", content["access_token"]).status_code == 200

    def test_a_wrong_login_is_401(self, registry: RegistryTarget) -> None:
        for login in ({"password": "mistaken"}, {"user": "stranger"}):
            answer = registry.log_in(f"repository:{registry.repository}:pull", **login)
            assert answer.status_code == 401
            assert code_of(answer) == "UNAUTHORIZED"

    def test_no_login_gets_no_token(self, registry: RegistryTarget) -> None:
        realm = registry.challenge(registry.get("/v2/"))["realm"]
        scope = {"scope": f"repository:{registry.repository}:pull"}
        assert httpx.get(realm, params=scope).status_code == 401

    def test_a_post_makes_clients_fall_back_to_get(self, registry: RegistryTarget) -> None:
        realm = registry.challenge(registry.get("/v2/"))["realm"]
        assert httpx.post(realm, data={"grant_type": "password"}).status_code in (404, 405)

    def test_a_token_without_the_scope_is_refused(self, registry: RegistryTarget) -> None:
        answer = registry.get(registry.manifest_path, registry.token(""))
        assert answer.status_code == 401
        challenge = registry.challenge(answer)
        assert challenge["error"] == "insufficient_scope"
        assert challenge["scope"] == f"repository:{registry.repository}:pull"

    def test_a_damaged_token_is_refused(self, registry: RegistryTarget) -> None:
        answer = registry.get("/v2/", registry.token()[:-8])
        assert answer.status_code == 401
        assert registry.challenge(answer)["error"] == "invalid_token"

    def test_a_repository_outside_the_login_is_refused(self, registry: RegistryTarget) -> None:
        scope = f"repository:{registry.closed}:pull"
        asked = registry.log_in(scope)
        token = asked.json().get("access_token", "") if asked.status_code == 200 else ""
        assert registry.get(f"/v2/{registry.closed}/tags/list", token).status_code == 401
        assert registry.get(f"/v2/{registry.closed}/tags/list", registry.token()).status_code == 401


class ContentContract:
    def test_a_manifest_has_its_digest_and_type(self, registry: RegistryTarget) -> None:
        token = registry.token()
        answer = registry.get(registry.manifest_path, token)
        assert answer.status_code == 200
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        assert answer.headers["docker-content-digest"] == digest
        assert answer.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
        assert answer.headers["etag"] == f'"{digest}"'
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        again = registry.get(f"/v2/{registry.repository}/manifests/{digest}", token)
        assert again.content == answer.content

    def test_a_head_is_the_same_without_the_body(self, registry: RegistryTarget) -> None:
        token = registry.token()
        whole = registry.get(registry.manifest_path, token)
        head = registry.get(registry.manifest_path, token, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("docker-content-digest", "content-type", "content-length", "etag"):
            assert head.headers[name] == whole.headers[name]

    def test_a_client_that_accepts_no_oci_manifest_gets_none(
        self, registry: RegistryTarget
    ) -> None:
        old = "application/vnd.docker.distribution.manifest.v2+json"
        for accepted in ("*/*", old):
            answer = registry.get(registry.manifest_path, registry.token(), Accept=accepted)
            assert answer.status_code == 404
            assert code_of(answer) == "MANIFEST_UNKNOWN"
            assert "accept header does not support OCI manifests" in answer.text

    def test_a_blob_comes_whole_with_its_digest(self, registry: RegistryTarget) -> None:
        token = registry.token()
        manifest = registry.get(registry.manifest_path, token).json()
        for layer in manifest["layers"]:
            path = f"/v2/{registry.repository}/blobs/{layer['digest']}"
            blob = registry.get(path, token)
            assert f"sha256:{hashlib.sha256(blob.content).hexdigest()}" == layer["digest"]
            assert blob.headers["docker-content-digest"] == layer["digest"]
            assert blob.headers["content-type"] == "application/octet-stream"
            head = registry.get(path, token, "HEAD")
            assert (head.status_code, head.headers["content-length"]) == (
                200,
                str(len(blob.content)),
            )

    def test_what_is_not_there_is_404_with_its_code(self, registry: RegistryTarget) -> None:
        name, token = registry.repository, registry.token()
        for path, code in (
            (f"/v2/{name}/manifests/9.9.9", "MANIFEST_UNKNOWN"),
            (f"/v2/{name}/manifests/{NOWHERE}", "MANIFEST_UNKNOWN"),
            (f"/v2/{name}/blobs/{NOWHERE}", "BLOB_UNKNOWN"),
        ):
            answer = registry.get(path, token)
            assert (answer.status_code, code_of(answer)) == (404, code)
            assert answer.json()["errors"][0]["message"]
            assert registry.get(path, token, "HEAD").status_code == 404

    def test_tags_are_listed(self, registry: RegistryTarget) -> None:
        answer = registry.get(f"/v2/{registry.repository}/tags/list", registry.token())
        assert answer.json() == {"name": registry.repository, "tags": [registry.tag]}

    def test_the_catalog_needs_its_own_scope_and_comes_in_pages(
        self, registry: RegistryTarget
    ) -> None:
        assert registry.get("/v2/_catalog").status_code == 401
        assert registry.get("/v2/_catalog", registry.token()).status_code == 401
        token = registry.token("registry:catalog:*")
        found: list[str] = []
        page = registry.get("/v2/_catalog?n=1", token)
        found += page.json()["repositories"]
        while "next" in page.links:
            page = registry.get(str(page.url.join(page.links["next"]["url"])), token)
            found += page.json()["repositories"]
        assert registry.repository in found
        assert len(found) == len(set(found))

    def test_an_unknown_path_is_404(self, registry: RegistryTarget) -> None:
        assert registry.get("/v2/no/such/thing", registry.token()).status_code == 404
