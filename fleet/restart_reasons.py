"""Whether a change of a node's files needs a restart, and why: in words for the operator.

containerd reads hosts.toml on each pull, so most changes need none. What only a start reads: a
containerd without certs.d, credentials, the embedded mirror, containerd's own configuration
(docs/decisions/0009-without-a-restart.md).
"""

from collections.abc import Sequence

from fleet.distributions import Distribution
from fleet.host_files import FileChange
from fleet.node_facts import NodeFacts
from fleet.registries_check import RegistriesPlan
from fleet.registries_endpoints import hosts_of, hosts_with_auth, read_sources
from fleet.restarts import ServiceState, missed_restart


def why_restart(
    facts: NodeFacts,
    service: ServiceState,
    plan: RegistriesPlan,
    distribution: Distribution,
    text: str,
    due: Sequence[FileChange],
) -> str:
    """Return what only a restart brings about; empty: nothing.

    Args:
        facts: What was found on the node.
        service: The unit that would be restarted.
        plan: What the files shall say.
        distribution: What runs on the node.
        text: What the registries file shall say.
        due: The files that will be written.
    """
    if not service.is_running:
        return str(service)
    if distribution.registries is None:
        return _why_config_is_unread(facts, service)
    unread = why_unread(facts, service, due)
    if unread and facts.config_path is None:
        return f"{unread} and its containerd does not read certs.d"
    if unread and facts.has_embedded_mirror:
        return f"{unread} and the embedded mirror is put into hosts.toml at a start only"
    return _why_auth_is_unread(facts, plan, text)


def why_unread(facts: NodeFacts, service: ServiceState, due: Sequence[FileChange]) -> str:
    """Return which file the running service has not read; empty: none."""
    if due:
        return f"{due[-1].path} changes"
    if missed_restart(service, facts.registries.modified):
        return f"{facts.registries.path} was written after {service.unit} started"
    return ""


def _why_config_is_unread(facts: NodeFacts, service: ServiceState) -> str:
    if missed_restart(service, facts.config_modified):
        return f"containerd's configuration was written after {service.unit} started"
    return ""


def _why_auth_is_unread(facts: NodeFacts, plan: RegistriesPlan, text: str) -> str:
    """Credentials are rendered into containerd's own configuration; templates may drop them."""
    if facts.templates or facts.config_modified is None:
        return ""
    names = {plan.login_server, plan.endpoint.host}
    for name in list(names):
        sources = read_sources(text, name)
        names |= hosts_of(sources) if sources else set()
    missing = sorted(hosts_with_auth(text) & names - facts.auth_hosts)
    if not missing:
        return ""
    hosts, path = ", ".join(missing), facts.registries.path
    return f"the credentials for {hosts} in {path} are read at a start only"
