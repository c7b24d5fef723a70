import pytest
from pydantic import SecretStr, ValidationError

from blocks import SiteSsh
from fleet.errors import BlockNotFoundError
from fleet.sites import Jump

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"


def a_block(**changes: object) -> SiteSsh:
    return SiteSsh.model_validate({"user": "edge", "known_hosts": "x ssh-ed25519 AAAA", **changes})


def test_the_login_holds_what_the_block_holds() -> None:
    login = a_block(private_key=KEY, passphrase="open sesame").login()
    assert login.user == "edge"
    assert login.private_key is not None
    assert login.private_key.get_secret_value() == KEY
    assert login.passphrase == SecretStr("open sesame")
    assert login.known_hosts == "x ssh-ed25519 AAAA"
    assert login.key_file is None


def test_no_key_is_shown() -> None:
    block = a_block(private_key=KEY, passphrase="open sesame")
    shown = f"{block!r} {block.login()!r}"
    assert "hunter2" not in shown
    assert "sesame" not in shown


def test_the_jump_host_of_the_block_is_for_nodes_that_name_none() -> None:
    assert a_block().jump() is None
    assert a_block(jump_host="bastion", jump_port=2222).jump() == Jump(address="bastion", port=2222)


def test_known_hosts_must_be_given() -> None:
    with pytest.raises(ValidationError, match="known_hosts"):
        SiteSsh.model_validate({"user": "edge"})


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="port"):
        a_block(port=70000)


@pytest.mark.flow
def test_a_saved_block_is_found_by_its_name(prefect_harness: None) -> None:
    a_block(private_key=KEY).save("edge-sites", overwrite=True)
    assert SiteSsh.named("edge-sites").login().private_key == SecretStr(KEY)
    with pytest.raises(BlockNotFoundError, match="nobody"):
        SiteSsh.named("nobody")
