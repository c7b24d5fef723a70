"""Which names in Azure a cluster uses, and what the fleet file is told about them."""

import yaml

from fleet.adoption_names import Login, UsedNames, client_tokens, compare_names, name_lines
from fleet.adoption_plan import choose_installation, compare_file
from fleet.adoption_sources import find_installations
from fleet.sites import Chart
from tests.builders import a_site
from tests.fleet.test_adoption import NAMES, a_state, the_site
from tests.fleet.test_adoption_charts import a_release

USED = UsedNames(
    connected_registry="oslo1",
    sync_scope_map="oslo1",
    sync_token="oslo1",
    client_scope_map="oslo-pull-map",
    client_token="oslo-pull",
)


def test_names_that_differ_are_in_the_way_and_the_lines_mend_it() -> None:
    site = a_site()
    assert len(list(compare_names(site, USED))) == 5
    lines = yaml.safe_load("\n".join(name_lines(site, USED)))
    assert lines == {"names": NAMES.model_dump()}
    assert list(compare_names(the_site(), USED)) == []
    assert name_lines(the_site(), USED) == ()


def test_case_is_no_difference_and_a_name_that_fits_nowhere_is_told() -> None:
    upper = USED.model_copy(update={"sync_token": "OSLO1"})
    assert list(compare_names(the_site(), upper)) == []
    odd = USED.model_copy(update={"sync_token": "1oslo"})
    (found,) = compare_names(the_site(), odd)
    assert "can only be onboarded anew" in found.detail
    assert "sync_token" not in "\n".join(name_lines(a_site(), odd))


def test_the_client_token_is_the_one_that_is_accepted_and_logs_in() -> None:
    state = a_state(the_site(), client_token_ids=("/tokens/oslo-pull", "/tokens/robot"))
    logins = [Login(user="OSLO-PULL", where="x"), Login(user="crew", where="y")]
    assert client_tokens(state, logins) == ("oslo-pull",)
    assert client_tokens(None, logins) == ()


def test_several_client_tokens_have_to_be_told_apart_by_a_person() -> None:
    site = the_site()
    (installation,) = find_installations([a_release(site, {})], [])
    used = USED.model_copy(update={"client_token": None, "client_scope_map": None})
    found = compare_file(site, installation, used, ["oslo-pull", "robot"], [])
    assert any(one.kind == "names.client_token" for one in found.findings)
    assert any(one.kind == "chart.installer" for one in found.findings)


def test_the_release_that_the_fleet_file_names_is_the_sites() -> None:
    site, other = the_site(), the_site(chart=Chart(version="0.4.0", release="second"))
    both = find_installations([a_release(site, {}), a_release(other, {})], [])
    chosen, missing = choose_installation(other, both)
    assert (chosen and chosen.release.name, missing) == ("second", None)
    third = the_site(chart=Chart(version="0.4.0", release="third"))
    chosen, missing = choose_installation(third, both)
    assert chosen is None
    assert missing is not None
    assert "the cluster has several" in missing.detail
    assert "use `acrfleet onboard`" in str(choose_installation(third, [])[1])
