from datetime import UTC, datetime

import pytest

from fleet.outcomes import SiteEndpoint
from fleet.verification import (
    Evidence,
    NodeEvidence,
    ProbeImage,
    Rung,
    RungName,
    explain_pull_failure,
)

PROBE = ProbeImage(repository="vessel/engine", tag="1.4", digest="sha256:" + "a" * 64)


def test_an_image_is_named_under_the_site_and_under_the_cloud() -> None:
    endpoint = SiteEndpoint(address="10.43.7.7", port=80)
    assert PROBE.under(endpoint.host) == "10.43.7.7:80/vessel/engine:1.4"
    assert PROBE.under("acr.azurecr.io") == "acr.azurecr.io/vessel/engine:1.4"


def test_a_rung_is_one_line() -> None:
    rung = Rung(name=RungName.PULL_SITE, node="oslo-1", seen="10.43.7.7:80/a:1", seconds=0.42)
    assert str(rung) == "pull by the site's address from oslo-1: 10.43.7.7:80/a:1 (0.4 s)"


def test_evidence_survives_being_stored() -> None:
    evidence = Evidence(
        time=datetime(2026, 11, 24, tzinfo=UTC),
        endpoint=SiteEndpoint(address="10.43.7.7", port=80),
        login_server="acr.azurecr.io",
        image=PROBE,
        rungs=(
            Rung(name=RungName.PORT, node="oslo-1", seconds=0.5),
            Rung(name=RungName.TOKEN, seconds=1.0),
        ),
        nodes=(NodeEvidence(name="oslo-1", version="v1.33.4+k3s1"),),
    )
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence
    assert evidence.seconds == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("http: server gave HTTP response to HTTPS client", "http:// endpoint"),
        ("failed to resolve reference: vessel/engine:1.4: not found", "not synced yet"),
        ("dial tcp 10.43.7.7:80: i/o timeout", "firewall"),
        ("something new", ""),
    ],
)
def test_known_symptoms_are_explained(words: str, cause: str) -> None:
    assert cause in explain_pull_failure(words)
    assert bool(explain_pull_failure(words)) == bool(cause)
