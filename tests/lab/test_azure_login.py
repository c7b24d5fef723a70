"""The login service, as azure-identity and a bare HTTP client see it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, EnvironmentCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from lab.azure.signing import EntraKey, split
from tests.lab.azure_client import azure_on, code_of

pytestmark = pytest.mark.lab


@pytest.fixture
def azure(tmp_path):
    with azure_on(tmp_path) as client:
        yield client


def options(azure):
    return {
        "authority": azure.lab.authority_url,
        "disable_instance_discovery": True,
        "connection_verify": str(azure.lab.ca_file),
    }


def rsa_certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "automation")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def test_a_client_secret_gets_a_token_for_resource_manager(azure):
    token = azure.credential.get_token("https://management.azure.com/.default")

    _, claims, _ = split(token.token)
    assert claims["aud"] == "https://management.azure.com"
    assert claims["tid"] == azure.lab.tenant_id
    assert claims["appid"] == azure.lab.client_id
    assert 3000 < token.expires_on - time.time() <= 3600


def test_the_environment_credential_finds_the_lab(azure, monkeypatch):
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", azure.lab.authority_url)
    monkeypatch.setenv("AZURE_TENANT_ID", azure.lab.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", azure.lab.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", azure.lab.client_secret)
    settings = options(azure)
    del settings["authority"]

    with EnvironmentCredential(**settings) as credential:
        token = credential.get_token("https://containerregistry.azure.net/.default")

    assert split(token.token)[1]["aud"] == "https://containerregistry.azure.net"


def test_a_wrong_secret_is_refused_in_words_that_operators_can_search(azure):
    tenant, client = azure.lab.tenant_id, azure.lab.client_id
    with (
        ClientSecretCredential(tenant, client, "wrong", **options(azure)) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token("https://management.azure.com/.default")


def test_a_registered_certificate_logs_in_and_another_does_not(azure):
    public, private = rsa_certificate()
    tenant, client = azure.lab.tenant_id, azure.lab.client_id
    both = options(azure) | {"certificate_data": public + private}
    with (
        CertificateCredential(tenant, client, **both) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS700027"),
    ):
        credential.get_token("https://management.azure.com/.default")

    azure.lab.trust_certificate(public)

    with CertificateCredential(tenant, client, **both) as credential:
        assert credential.get_token("https://management.azure.com/.default").token


@pytest.mark.parametrize(
    ("change", "status", "number"),
    [
        ({"tenant": "another"}, 400, 90002),
        ({"client_id": "another"}, 400, 700016),
        ({"client_secret": "another"}, 401, 7000215),
        ({"client_secret": None}, 401, 7000218),
        ({"client_secret": None, "client_assertion": "x"}, 401, 50027),
        ({"grant_type": "password"}, 400, 70003),
        ({"scope": "https://management.azure.com"}, 400, 1002012),
        ({"scope": "https://elsewhere.example/.default"}, 400, 500011),
    ],
)
def test_a_wrong_request_gets_the_login_services_number(azure, change, status, number):
    form = {"scope": "https://management.azure.com/.default"} | change

    answer = azure.log_in(**form)

    assert answer.status_code == status
    assert answer.json()["error_codes"] == [number]
    assert f"AADSTS{number}" in answer.json()["error_description"]


def test_discovery_leads_to_the_keys_that_tokens_are_signed_with(azure):
    base = f"{azure.lab.authority_url}/{azure.lab.tenant_id}"
    document = azure.anonymous.get(f"{base}/v2.0/.well-known/openid-configuration").json()
    instance = azure.anonymous.get(f"{azure.lab.authority_url}/common/discovery/instance").json()

    keys = azure.anonymous.get(document["jwks_uri"]).json()["keys"]

    assert document["token_endpoint"] == f"{base}/oauth2/v2.0/token"
    assert [key["kid"] for key in keys] == [azure.lab.entra.key.id]
    assert instance["metadata"][0]["aliases"] == [f"127.0.0.1:{azure.lab.port}"]


def test_an_unknown_tenant_has_no_discovery(azure):
    url = f"{azure.lab.authority_url}/elsewhere/v2.0/.well-known/openid-configuration"

    answer = azure.anonymous.get(url)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_tenant")


def claims_of(azure, **change):
    claims = {"aud": azure.lab.resource_manager, "exp": time.time() + 600, "appid": "x"}
    return claims | change


@pytest.mark.parametrize("sent", [None, "Bearer", "Bearer x.y.z", "Basic abc"])
def test_resource_manager_refuses_who_has_no_token(azure, sent):
    url = f"{azure.lab.resource_manager}/subscriptions?api-version=2022-12-01"

    answer = azure.anonymous.get(url, headers={"Authorization": sent} if sent else {})

    assert answer.status_code == 401
    assert code_of(answer) in ("AuthenticationFailed", "InvalidAuthenticationToken")
    assert "authorization_uri" in answer.headers["WWW-Authenticate"]


def test_resource_manager_refuses_expired_foreign_and_misdirected_tokens(azure):
    good = azure.lab.entra.key.sign(claims_of(azure))
    expired = azure.lab.entra.key.sign(claims_of(azure, exp=time.time() - 1))
    forged = EntraKey().sign(claims_of(azure))
    for_registries = azure.log_in(scope="https://containerregistry.azure.net/.default")
    codes = []
    for token in (good, expired, forged, for_registries.json()["access_token"]):
        headers = {"Authorization": f"Bearer {token}"}
        answer = azure.send("GET", "", headers=headers)
        codes.append(200 if answer.status_code == 200 else code_of(answer))

    assert codes == [
        200,
        "InvalidAuthenticationToken",
        "InvalidAuthenticationToken",
        "InvalidAuthenticationTokenAudience",
    ]


def test_tokens_live_as_long_as_the_lab_was_told(tmp_path):
    with azure_on(tmp_path, token_life=1.0) as azure:
        token = {"Authorization": f"Bearer {azure.token}"}
        before = azure.send("GET", "", headers=token).status_code
        time.sleep(2.0)
        after = azure.send("GET", "", headers=token).status_code

    assert (before, after) == (200, 401)
