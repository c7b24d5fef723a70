"""Names in Azure: frozen, within every rule, and never shared."""

import random
import re
import string

import pytest
from pydantic import ValidationError

from fleet.names import NameOverrides, derive_client_names, derive_names
from fleet.sites import SiteNames

CONNECTED_REGISTRY = re.compile(r"[a-z][a-z0-9]{4,39}")
TOKEN = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{4,48}")
SCOPE_MAP = re.compile(r"[a-zA-Z0-9-]{5,49}")


def awkward_names(count: int) -> list[str]:
    rng = random.Random(20261124)
    alphabet = string.ascii_letters + string.digits + "._-"
    made = {"".join(rng.choices(alphabet, k=rng.randint(1, 63))) for _ in range(count)}
    made |= {f"site-{number}" for number in range(count)} | {f"site{n}" for n in range(count)}
    return sorted(made | {"a", "A", "1", "-", "ø", "北海", "", "x" * 63, "x" * 62 + "-"})


def test_names_are_frozen_for_ever() -> None:
    """Never mend this test: other names would be other objects in Azure."""
    assert derive_names("northsea", "oslo") == SiteNames(
        connected_registry="oslopdv5pafh",
        sync_scope_map="oslopdv5pafh-sync-map",
        sync_token="oslopdv5pafh-sync",
        client_scope_map="oslopdv5pafh-client-map",
        client_token="oslopdv5pafh-client",
    )
    assert derive_names("northsea", "Oslo.1-b").connected_registry == "oslo1bw7nu7zll"
    assert derive_names("northsea", "42").connected_registry == "s42rzhl3rca"
    assert derive_names("northsea", "x" * 63).connected_registry == "x" * 28 + "oab5vydk"
    assert derive_names("southsea", "oslo").connected_registry == "osloyprlotcx"


def test_every_name_satisfies_every_rule_of_azure() -> None:
    for site in awkward_names(3000):
        names = derive_names("northsea", site)
        assert CONNECTED_REGISTRY.fullmatch(names.connected_registry), site
        assert TOKEN.fullmatch(names.sync_token), site
        assert TOKEN.fullmatch(names.client_token), site
        assert SCOPE_MAP.fullmatch(names.sync_scope_map), site
        assert SCOPE_MAP.fullmatch(names.client_scope_map), site


def test_names_of_further_client_tokens_are_frozen_and_satisfy_every_rule() -> None:
    """Never mend the first two: other names would be other objects in Azure."""
    assert derive_client_names("northsea", "oslo", "crew") == {
        "client_token": "oslopdv5pafh-crew",
        "client_scope_map": "oslopdv5pafh-crew-map",
    }
    longest = derive_client_names("northsea", "9" * 63, "a2345678901234567890")
    assert longest["client_token"] == "s999999999999999jwtkumxt-a2345678901234567890"
    for site in awkward_names(1000):
        for token in ("c", "crew-2", "a2345678901234567890"):
            made = derive_client_names("northsea", site, token)
            assert TOKEN.fullmatch(made["client_token"]), site
            assert SCOPE_MAP.fullmatch(made["client_scope_map"]), site


def test_no_two_objects_of_thousands_of_sites_share_a_name() -> None:
    sites = awkward_names(3000)
    made = [
        name
        for fleet in ("northsea", "northsea-2")
        for site in sites
        for name in derive_names(fleet, site).model_dump().values()
    ]
    assert len({name.lower() for name in made}) == len(made) == 10 * len(sites)


def test_fleets_whose_names_run_together_stay_apart() -> None:
    assert derive_names("north", "seaoslo") != derive_names("northsea", "oslo")


def test_an_override_changes_its_own_name_only() -> None:
    derived = derive_names("northsea", "oslo")
    names = derive_names("northsea", "oslo", NameOverrides(connected_registry="ships01"))
    assert names == derived.model_copy(update={"connected_registry": "ships01"})


@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ("connected_registry", "Oslo1"),
        ("connected_registry", "oslo"),
        ("connected_registry", "oslo-1"),
        ("connected_registry", "a" * 41),
        ("connected_registry", "oslo1\n"),
        ("sync_token", "1oslo"),
        ("client_token", "oslo_1"),
        ("sync_scope_map", "oslo_1"),
        ("client_scope_map", "a" * 50),
    ],
)
def test_an_override_that_azure_would_refuse_is_refused(field: str, refused: str) -> None:
    with pytest.raises(ValidationError, match="allowed are 5 to"):
        NameOverrides.model_validate({field: refused})
