import pytest
from pydantic import SecretStr

from fleet.cluster_errors import NoGatewayEndpointError
from fleet.connection_string import build_connection_string, parse_connection_string

GATEWAY = "acrnorthsea.westeurope.data.azurecr.io"


def test_the_parts_stand_in_the_order_of_the_azure_cli() -> None:
    text = build_connection_string("oslo1", "oslo1-sync", SecretStr("r=ntz+/x="), GATEWAY)
    assert text.get_secret_value() == (
        "ConnectedRegistryName=oslo1;SyncTokenName=oslo1-sync;SyncTokenPassword=r=ntz+/x=;"
        f"ParentGatewayEndpoint={GATEWAY};ParentEndpointProtocol=https"
    )


def test_a_password_with_equals_signs_is_read_back_whole() -> None:
    text = build_connection_string("oslo1", "oslo1-sync", SecretStr("=a=b="), GATEWAY)
    parsed = parse_connection_string(text)
    assert parsed is not None
    assert parsed.password.get_secret_value() == "=a=b="
    assert parsed.gateway_endpoint == GATEWAY


@pytest.mark.parametrize("gateway", [None, ""])
def test_a_missing_gateway_endpoint_is_an_error_that_says_what_to_check(
    gateway: str | None,
) -> None:
    with pytest.raises(NoGatewayEndpointError, match=r"oslo1.*data endpoint"):
        build_connection_string("oslo1", "oslo1-sync", SecretStr("x"), gateway)


@pytest.mark.parametrize("text", ["", "nonsense", "ConnectedRegistryName=a;SyncTokenName=b"])
def test_anything_else_is_not_taken_for_a_connection_string(text: str) -> None:
    assert parse_connection_string(SecretStr(text)) is None


def test_the_password_does_not_show_in_print() -> None:
    text = build_connection_string("oslo1", "oslo1-sync", SecretStr("canary-7"), GATEWAY)
    assert "canary-7" not in f"{text!r} {text} {parse_connection_string(text)!r}"
