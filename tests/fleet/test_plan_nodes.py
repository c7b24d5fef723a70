"""What a plan says about nodes: files, restarts with their length, and when those may be."""

from datetime import UTC, datetime, timedelta

import pytest

from fleet.maintenance import Maintenance
from fleet.node_changes import plan_change
from fleet.outcomes import Action, SiteEndpoint
from fleet.plan_at_site import note_window
from fleet.plan_draft import Draft
from fleet.plan_nodes import expected_seconds, node_changes
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.restarts import ServiceState
from fleet.site_plan import Part, PlannedChange
from fleet.sites import Host, Node
from tests.builders import a_site
from tests.node_output import LOGIN_SERVER, NOW, some_facts

NODE = Node(name="oslo-1", address="192.0.2.1")
PLAN = RegistriesPlan(
    login_server=LOGIN_SERVER, endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)
START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def planned(text: str | None, **facts: str) -> list[PlannedChange]:
    change = plan_change(Host(), NODE, some_facts(text, **facts), PLAN)
    return list(node_changes(change))


def test_without_certs_d_the_file_changes_and_the_service_restarts() -> None:
    text = 'mirrors:\n  quay.io:\n    endpoint: ["https://joe:canary@cache.example"]\n'
    file, service = planned(text, config_path="")
    assert file.name == "oslo-1:/etc/rancher/k3s/registries.yaml"
    assert file.action is Action.CHANGED
    assert any(line[0] == "+" and "http://10.43.0.9:80" in line for line in file.diff)
    assert not any(line[0] == "-" for line in file.diff)
    assert "canary" not in "".join(file.diff)
    assert service.kind == "service"
    assert service.name == "oslo-1:k3s"
    assert service.restarts
    assert "registries.yaml changes" in service.detail


def test_where_containerd_reads_certs_d_nothing_restarts() -> None:
    assert not any(one.restarts for one in planned(None))


def test_a_node_that_is_right_has_nothing_in_the_plan() -> None:
    text = merge(None, PLAN, "oslo")
    assert planned(text, config_path="", **{"file.mtime": "1"}) == []


@pytest.mark.parametrize(
    ("started", "up", "seconds"),
    [
        (START, START + timedelta(seconds=31), 36.0),
        (START, START, 15.0),
        (None, START, 15.0),
        (START, None, 15.0),
    ],
)
def test_a_restart_takes_as_long_as_the_last_start_where_systemd_knows_it(
    started: datetime | None, up: datetime | None, seconds: float
) -> None:
    service = ServiceState(unit="k3s", started=started, active_since=up)
    assert expected_seconds(service) == seconds


def test_outside_of_the_window_the_plan_says_until_when_a_restart_waits() -> None:
    window = Maintenance.model_validate({"cron": "0 2 * * sun", "length": "3h"})
    site, draft = a_site(maintenance=window), Draft("oslo")
    note_window(site, NOW, draft)
    assert draft.notes == [], "nothing restarts"
    draft.add(Part.NODES, "service", "oslo-1:k3s", Action.CHANGED, restart_seconds=20.0)
    note_window(site, NOW, draft)
    assert "has to wait" in draft.notes[0]
