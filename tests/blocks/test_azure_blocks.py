"""The two Azure blocks: what they refuse, what they make, and how they are saved and found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from blocks import AzureLogin, RegistrySettings
from clients.azure_clouds import cloud_endpoints
from fleet.azure_errors import CloudMismatchError, LoginFailedError
from fleet.errors import BlockNotFoundError, FleetFileError
from fleet.sites import Cloud, RegistryFromBlock
from tasks.sessions import open_registry_session
from tests.azure_lab_fixture import AzureThread, azure_thread

CUSTOM = Cloud(
    name="custom", authority="https://login.example", resource_manager="https://arm.example"
)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize("block", [AzureLogin, RegistrySettings])
class TestAzureBlocksMeetPrefectsStandard(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        kind: type[Block] = request.param
        return kind

    # A logo would be fetched from the internet by everybody's UI; our blocks have none.
    test_has_a_valid_image = None  # type: ignore[assignment] # switched off, see above


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"kind": "service principal with secret"}, "tenant_id, client_id, client_secret"),
        (
            {"kind": "service principal with certificate", "tenant_id": "t", "client_id": "c"},
            "certificate",
        ),
        ({"cloud": "custom", "authority": "https://login.example"}, "resource_manager"),
    ],
)
def test_a_login_says_what_its_kind_needs(fields: dict[str, str], missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        AzureLogin.model_validate(fields)


def test_a_secret_shows_in_no_text_of_the_block() -> None:
    login = AzureLogin(
        kind="service principal with secret",
        tenant_id="t",
        client_id="c",
        client_secret=SecretStr("canary"),
        certificate=SecretStr("canary"),
        certificate_password=SecretStr("canary"),
    )
    assert "canary" not in f"{login!r} {login} {login.model_dump_json()}"


def test_a_broken_certificate_is_said_to_be_one_without_showing_it() -> None:
    login = AzureLogin(
        kind="service principal with certificate",
        tenant_id="00000000-0000-0000-0000-000000000001",
        client_id="c",
        certificate=SecretStr("canary"),
    )
    with pytest.raises(LoginFailedError, match="check the certificate") as caught:
        login.credential()
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", ["default chain", "managed identity"])
def test_an_identity_needs_nothing_else(kind: str) -> None:
    credential = AzureLogin.model_validate({"kind": kind}).credential()
    assert callable(credential.get_token)


def test_a_workload_identity_takes_what_is_missing_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login = AzureLogin(kind="workload identity")
    with pytest.raises(LoginFailedError, match="workload identity"):
        login.credential()
    monkeypatch.setenv("AZURE_TENANT_ID", SUBSCRIPTION)
    monkeypatch.setenv("AZURE_CLIENT_ID", SUBSCRIPTION)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    assert callable(login.credential().get_token)


@pytest.mark.parametrize(
    ("block_cloud", "file_cloud", "used"),
    [
        (Cloud(), Cloud(), Cloud()),
        (Cloud(), Cloud(name="china"), Cloud(name="china")),
        (Cloud(name="government"), Cloud(), Cloud(name="government")),
        (CUSTOM, Cloud(), CUSTOM),
        (CUSTOM, CUSTOM, CUSTOM),
        (
            CUSTOM,
            CUSTOM.model_copy(
                update={"ca_file": "/etc/lab.pem", "authority": "https://LOGIN.example/"}
            ),
            CUSTOM.model_copy(
                update={"ca_file": "/etc/lab.pem", "authority": "https://LOGIN.example/"}
            ),
        ),
        (
            CUSTOM.model_copy(update={"ca_file": "/etc/lab.pem"}),
            CUSTOM,
            CUSTOM.model_copy(update={"ca_file": "/etc/lab.pem"}),
        ),
    ],
)
def test_the_cloud_is_the_one_that_is_named(
    block_cloud: Cloud, file_cloud: Cloud, used: Cloud
) -> None:
    assert login_in(block_cloud).endpoints_for(file_cloud) == cloud_endpoints(used)


@pytest.mark.parametrize(
    ("block_cloud", "file_cloud"),
    [
        (Cloud(name="china"), Cloud(name="government")),
        (CUSTOM, Cloud(name="china")),
        (CUSTOM, CUSTOM.model_copy(update={"resource_manager": "https://other.example"})),
    ],
)
def test_two_clouds_that_disagree_are_an_error_that_names_both(
    block_cloud: Cloud, file_cloud: Cloud
) -> None:
    with pytest.raises(CloudMismatchError) as caught:
        login_in(block_cloud).credential(file_cloud)
    assert file_cloud.name in str(caught.value)
    assert block_cloud.name in str(caught.value)


def login_in(cloud: Cloud) -> AzureLogin:
    return AzureLogin.model_validate({"cloud": cloud.name} | cloud.model_dump(exclude={"name"}))


@pytest.mark.parametrize(
    ("name", "manager", "registry_audience"),
    [
        ("public", "https://management.azure.com", "https://containerregistry.azure.net"),
        (
            "government",
            "https://management.usgovcloudapi.net",
            "https://management.usgovcloudapi.net",
        ),
        ("china", "https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
    ],
)
def test_each_cloud_has_its_own_end_points(name: str, manager: str, registry_audience: str) -> None:
    found = cloud_endpoints(Cloud.model_validate({"name": name}))
    assert found.resource_manager == manager
    assert found.audience == manager
    assert found.registry_audience == registry_audience
    assert found.connection_verify is True


def test_a_custom_cloud_takes_its_audience_from_its_resource_manager() -> None:
    found = cloud_endpoints(CUSTOM.model_copy(update={"ca_file": "/etc/lab.pem"}))
    assert found.audience == "https://arm.example"
    assert found.connection_verify == "/etc/lab.pem"
    assert found.is_custom


def test_what_the_fleet_file_says_wins_over_registry_settings() -> None:
    settings = RegistrySettings(
        subscription_id=SUBSCRIPTION,
        resource_group="rg-fleet",
        name="acrnorthsea",
        azure_login="operator",
        cloud="china",
        enable_data_endpoint=True,
        max_concurrent_calls=3,
    )
    quiet = settings.registry(RegistryFromBlock(key="northsea", settings_block="acr"))
    assert (quiet.key, quiet.name, quiet.azure_login) == ("northsea", "acrnorthsea", "operator")
    assert quiet.cloud == Cloud(name="china")
    assert (quiet.enable_data_endpoint, quiet.max_concurrent_calls) == (True, 3)
    told = settings.registry(
        RegistryFromBlock(
            key="n", settings_block="acr", enable_data_endpoint=False, max_concurrent_calls=9
        )
    )
    assert (told.enable_data_endpoint, told.max_concurrent_calls) == (False, 9)


def test_registry_settings_that_azure_would_refuse_name_block_and_field() -> None:
    settings = RegistrySettings(subscription_id="mine", resource_group="rg", name="a")
    with pytest.raises(FleetFileError) as caught:
        settings.registry(RegistryFromBlock(key="northsea", settings_block="acr"))
    text = str(caught.value)
    assert "acrfleet-registry-settings/acr: field subscription_id" in text
    assert "field name" in text


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureThread]:
    with azure_thread(tmp_path) as azure:
        yield azure


@pytest.mark.lab
def test_a_certificate_logs_in(azure: AzureThread) -> None:
    certificate, key = a_certificate()
    azure.lab.trust_certificate(certificate)
    login = azure.login(
        kind="service principal with certificate",
        client_secret=None,
        certificate=SecretStr((certificate + key).decode()),
    )
    session = azure.session(azure.add_registry(), login=login)
    assert session.access.read_registry().name == "acrnorthsea"


@pytest.mark.lab
def test_without_a_block_the_default_chain_logs_in(
    azure: AzureThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", azure.lab.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", azure.lab.client_id)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", azure.lab.client_secret)
    session = open_registry_session(azure.add_registry())
    try:
        assert session.access.read_registry().name == "acrnorthsea"
        assert "vessel/web" in session.catalog.list_repositories()
    finally:
        session.close()


@pytest.mark.lab
@pytest.mark.flow
def test_saved_blocks_are_found_by_name_and_log_in(
    azure: AzureThread, prefect_harness: None
) -> None:
    azure.login().save("operator", overwrite=True)
    assert AzureLogin.named("operator").client_secret == SecretStr(azure.lab.client_secret)
    registry = azure.add_registry().model_copy(update={"azure_login": "operator", "cloud": Cloud()})
    session = open_registry_session(registry)
    try:
        assert session.access.read_registry().name == "acrnorthsea"
    finally:
        session.close()
    with pytest.raises(BlockNotFoundError, match="acrfleet-azure-login/nobody does not exist"):
        AzureLogin.named("nobody")
    with pytest.raises(BlockNotFoundError, match="prefect block register -m blocks"):
        RegistrySettings.named("nobody")


def a_certificate() -> tuple[bytes, bytes]:
    """Return a self-signed RSA certificate and its key, as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acrfleet test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
