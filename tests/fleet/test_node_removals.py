"""A node forgets its site's registry, on each distribution, and nothing else."""

import pytest

from fleet.distributions import DISTRIBUTIONS
from fleet.host_errors import RestartForbiddenError
from fleet.hosts_toml import means_the_same
from fleet.node_changes import NodeChange, plan_change
from fleet.node_facts import NodeFacts
from fleet.node_removals import plan_removal
from fleet.outcomes import SiteEndpoint
from fleet.registries_yaml import RegistriesPlan
from fleet.sites import Host, Node
from tests.node_output import ENDPOINT_HOST, LOGIN_SERVER, file_lines, some_facts

NODE = Node(name="oslo-1", address="192.0.2.1")
PLAN = RegistriesPlan(
    login_server=LOGIN_SERVER, endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)
SECOND = f'mirrors:\n  "{LOGIN_SERVER}":\n    endpoint: ["https://second.example"]\n'


def host(of: str = "k3s", restart: str = "auto") -> Host:
    return Host.model_validate({"distribution": of, "restart": restart})


def configured(
    text: str | None, of: str = "k3s", plan: RegistriesPlan = PLAN, **changes: str
) -> NodeFacts:
    """Return the facts of a node after a change: with the files that the change wanted."""
    change = plan_change(host(of), NODE, some_facts(text, of=of, **changes), plan)
    wanted = {file.path: file.wanted.get_secret_value() for file in change.files if file.wanted}
    hosts = {path.split("/")[-2]: text for path, text in wanted.items() if path.endswith(".toml")}
    after = next((t for path, t in wanted.items() if path.endswith("registries.yaml")), None)
    ca_file = DISTRIBUTIONS[of].ca_file(LOGIN_SERVER)
    more = file_lines("ca", wanted[ca_file]) | {"ca.path": ca_file} if ca_file in wanted else {}
    return some_facts(after, of=of, hosts=hosts, **changes, **more)


def names(change: NodeChange) -> list[str]:
    return ["/".join(file.path.split("/")[-2:]) for file in change.due]


@pytest.mark.parametrize("of", ["k3s", "rke2", "containerd"])
def test_a_node_loses_every_file_that_was_only_ours_without_a_restart(of: str) -> None:
    change = plan_removal(host(of), NODE, configured(None, of), PLAN)
    files = [f"{LOGIN_SERVER}/hosts.toml", f"{ENDPOINT_HOST}/hosts.toml"]
    assert names(change) == [*files, *([f"{of}/registries.yaml"] if of != "containerd" else [])]
    assert [file.wanted for file in change.due] == [None] * len(change.due)
    assert change.restart == ""
    assert "on each pull" in change.without_restart


@pytest.mark.parametrize("of", ["k3s", "rke2", "containerd"])
def test_a_node_that_knows_nothing_of_it_is_left_alone(of: str) -> None:
    change = plan_removal(host(of, "always"), NODE, some_facts(None, of=of), PLAN)
    assert not change.must_write
    assert change.restart == ""


def test_what_others_put_under_the_same_name_is_rendered_again() -> None:
    change = plan_removal(host(), NODE, configured(SECOND), PLAN)
    files = {file.path.split("/")[-2]: file.wanted for file in change.due}
    assert files[ENDPOINT_HOST] is None
    left = files[LOGIN_SERVER]
    assert left is not None
    before = plan_change(host(), NODE, some_facts(SECOND), PLAN).files[0].wanted
    assert before is not None
    ours = frozenset({f"{PLAN.endpoint.url}/v2"})
    assert means_the_same(left.get_secret_value(), before.get_secret_value(), ours)
    assert PLAN.endpoint.host not in left.get_secret_value()
    registries = change.files[-1].wanted
    assert registries is not None
    assert registries.get_secret_value() == SECOND


def test_hosts_files_of_others_stay() -> None:
    facts = configured(None)
    hosts = {LOGIN_SERVER: "# by hand\n", ENDPOINT_HOST: "# by hand\n"}
    foreign = some_facts(facts.registries.content, hosts=hosts)
    assert names(plan_removal(host(), NODE, foreign, PLAN)) == ["k3s/registries.yaml"]


def test_a_containerd_that_reads_mirrors_at_its_start_is_restarted() -> None:
    facts = configured(None, config_path="")
    change = plan_removal(host(), NODE, facts, PLAN)
    assert names(change) == ["k3s/registries.yaml"]
    assert "does not read certs.d" in change.restart
    with pytest.raises(RestartForbiddenError, match=r"forget the site's registry.*certs\.d"):
        plan_removal(host(restart="never"), NODE, facts, PLAN)


def test_always_restarts_where_a_file_changes() -> None:
    change = plan_removal(host(restart="always"), NODE, configured(None), PLAN)
    assert change.restart == "the fleet file says `host.restart: always`"


def test_the_certificate_authority_goes_with_the_entries_that_name_it() -> None:
    endpoint = SiteEndpoint(address="10.43.0.9", port=80, scheme="https")
    plan = RegistriesPlan(login_server=LOGIN_SERVER, endpoint=endpoint, ca="-----BEGIN\n")
    change = plan_removal(host(), NODE, configured(None, plan=plan), plan)
    ca_file = DISTRIBUTIONS["k3s"].ca_file(LOGIN_SERVER)
    assert [file.path for file in change.due if file.path == ca_file] == [ca_file]
    assert {file.wanted for file in change.due} == {None}
