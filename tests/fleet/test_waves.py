"""How a run is cut into waves, and when it stops: from tests/cases/waves.yaml, wave_ends.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.results import Status
from fleet.sites import Site
from fleet.wave_settings import Waves
from fleet.waves import Wave, not_begun, plan_waves, why_stop
from tests.builders import a_result, a_site

CASES = Path(__file__).parents[1] / "cases"


def cases(name: str) -> list[Any]:
    content = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in content]


def site_of(entry: str | dict[str, list[str]]) -> Site:
    if isinstance(entry, str):
        return a_site(entry)
    ((name, tags),) = entry.items()
    return a_site(name, tags=tuple(tags))


def wave_of(*names: str, is_canary: bool = False) -> Wave:
    return Wave(1, 2, tuple(a_site(name) for name in names), is_canary)


@pytest.mark.parametrize("case", cases("waves"))
def test_a_run_is_cut_into_waves(case: dict[str, Any]) -> None:
    settings = Waves(**case["settings"]) if "settings" in case else None
    before = {name: frozenset(names) for name, names in case.get("before", {}).items()}
    sites = [site_of(entry) for entry in case["sites"]]
    waves = plan_waves(sites, settings, before, case.get("unfinished", ()))
    assert [[site.name for site in wave.sites] for wave in waves] == case["waves"]
    assert [wave.number for wave in waves] == list(range(1, len(waves) + 1))
    assert {wave.of for wave in waves} == {len(waves)}
    assert [wave.is_canary for wave in waves] == [case["canaries"]] + [False] * (len(waves) - 1)


@pytest.mark.parametrize("case", cases("wave_ends"))
def test_the_next_wave_begins_or_the_run_stops(case: dict[str, Any]) -> None:
    results = [a_result(name, Status(status)) for name, status in case["ended"].items()]
    wave = wave_of(*case["wave"], is_canary=case.get("canaries", False))
    assert why_stop(Waves(**case.get("settings", {})), wave, results) == case["why"]


def test_sites_of_a_wave_that_was_not_begun_say_why() -> None:
    results = not_begun("onboard", Wave(2, 3, (a_site("oslo"), a_site("bergen"))), "of this")
    assert [(one.site, one.status, one.message) for one in results] == [
        ("oslo", Status.NOT_STARTED, "wave 2 was not begun: of this"),
        ("bergen", Status.NOT_STARTED, "wave 2 was not begun: of this"),
    ]


def test_a_wave_says_which_it_is() -> None:
    assert str(wave_of("oslo", is_canary=True)) == "wave 1 of 2 (the canaries, 1 site)"
    assert str(wave_of("oslo", "bergen")) == "wave 1 of 2 (2 sites)"
