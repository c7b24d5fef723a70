"""Lab sites broken as the symptom table says (tests/cases/explain/symptoms.yaml), and mended again.

Each scenario breaks one thing with the protocol that it breaks by in the field, yields the image
to ask about, and undoes it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

from pydantic import SecretStr

from fleet.pull_secrets import docker_config
from tests.tasks.explain_bench import IMAGE, Bench, wait_until

DEAD = "http://192.0.2.7:5000"

Scenario = Callable[[Bench], AbstractContextManager[str]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Callable[[Bench], Iterator[str]]], Scenario]:
    """Register a scenario under its name in the data file."""

    def register(function: Callable[[Bench], Iterator[str]]) -> Scenario:
        SCENARIOS[name] = contextmanager(function)
        return SCENARIOS[name]

    return register


@scenario("the mirror answered 404 and the http host was asked in https")
def _not_there(bench: Bench) -> Iterator[str]:
    with bench.faults(part="registry", kind="skip", match="sync"):
        yield bench.push("1.6.0")


@scenario("the site has not synchronised since")
def _not_synchronised(bench: Bench) -> Iterator[str]:
    with bench.faults(part="registry", kind="skip", match="sync"):
        yield bench.push("1.6.1")


@scenario("the site does not synchronise at all")
def _silent(bench: Bench) -> Iterator[str]:
    access, name = bench.site.cloud.access, bench.site.site.names.connected_registry

    def is_online() -> bool:
        state = access.read_connected_registry(name)
        return state is not None and state.is_online

    with bench.faults(part="registry", kind="skip", match="contact"):
        wait_until(lambda: not is_online())
        yield bench.push("1.6.2")
    wait_until(is_online)


@scenario("the site's address has no mirror")
def _no_mirror(bench: Bench) -> Iterator[str]:
    with bench.mirrors({bench.site.login_server: bench.mirror}):
        yield IMAGE


@scenario("the mirror's key lacks the port")
def _no_port(bench: Bench) -> Iterator[str]:
    named = {bench.site.login_server: bench.mirror, bench.endpoint.address: bench.mirror}
    with bench.mirrors(named):
        yield IMAGE


@scenario("a mirror is named as pods name it")
def _cluster_name(bench: Bench) -> Iterator[str]:
    url = "http://connected-registry.connected-registry.svc.cluster.local:80"
    inside = {"endpoint": [url]}
    with bench.mirrors({bench.site.login_server: bench.mirror, bench.endpoint.host: inside}):
        yield IMAGE


@scenario("an endpoint's path replaces the API")
def _path(bench: Bench) -> Iterator[str]:
    wrong = {"endpoint": [f"{bench.endpoint.url}/images"]}
    with (
        bench.faults(part="registry", kind="page", match="* /images/*"),
        bench.mirrors({bench.site.login_server: wrong, bench.endpoint.host: wrong}),
    ):
        yield IMAGE


@scenario("a hosts.toml has a table twice")
def _twice(bench: Bench) -> Iterator[str]:
    with bench.hosts_toml(lambda text: text + text[text.index("[host.") :]):
        yield IMAGE


@scenario("a dead endpoint stands first")
def _dead(bench: Bench) -> Iterator[str]:
    table = f'[host."{DEAD}/v2"]\n  capabilities = ["pull", "resolve"]\n\n'
    with (
        bench.faults(part="hosts", kind="drop-packets", match="dial 192.0.2.7:5000", seconds=0.3),
        bench.hosts_toml(
            lambda text: text.replace('[host."', f'{table}[host."', 1), bench.site.login_server
        ),
    ):
        yield IMAGE


@scenario("the registries file is no YAML")
def _bad_yaml(bench: Bench) -> Iterator[str]:
    with bench.registries("mirrors:\n  x: [\n a: b: c\n", comes_up=False):
        yield IMAGE


@scenario("the repository is not in the sync scope")
def _out_of_scope(bench: Bench) -> Iterator[str]:
    yield "vessel/engine-monitor:2.1.0"


@scenario("the pull secret is for another host")
def _other_host(bench: Bench) -> Iterator[str]:
    token = bench.site.site.names.client_token
    with bench.secret(docker_config(["10.43.9.9:80"], token, bench.password)):
        yield IMAGE


@scenario("another pull secret wins")
def _other_user(bench: Bench) -> Iterator[str]:
    hosts = [bench.site.login_server, bench.endpoint.host]
    with bench.secret(docker_config(hosts, "somebody", SecretStr("canary-theirs"))):
        yield IMAGE


@scenario("the namespace has no pull secret")
def _no_secret(bench: Bench) -> Iterator[str]:
    cluster, name = bench.site.session.cluster, bench.site.site.pull_secrets.name
    before = cluster.find_secret("default", name)
    assert before is not None
    cluster.delete_secret("default", name)
    try:
        yield IMAGE
    finally:
        data = {key: value.get_secret_value() for key, value in before.data.items()}
        meta = {"name": name, "labels": before.meta.labels, "annotations": before.meta.annotations}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": before.type}
        cluster.create_secret("default", {**body, "stringData": data})


@scenario("the service account does not list the pull secret")
def _unattached(bench: Bench) -> Iterator[str]:
    cluster = bench.site.session.cluster
    account = cluster.find_service_account("default", "default")
    assert account is not None
    cluster.patch_service_account("default", "default", {"imagePullSecrets": None})
    try:
        yield IMAGE
    finally:
        listed = [{"name": name} for name in account.pull_secrets]
        cluster.patch_service_account("default", "default", {"imagePullSecrets": listed})


@scenario("the password has expired")
def _expired(bench: Bench) -> Iterator[str]:
    """Last of all: the lab's clock does not go back."""
    bench.site.lab.call(bench.site.lab.world.clock.jump, timedelta(days=2))
    yield IMAGE


LAST = ("the password has expired",)
