"""What has to be done on one node so that it forgets the site's registry."""

from pydantic import SecretStr

from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.host_errors import RestartForbiddenError
from fleet.host_files import FileChange
from fleet.hosts_toml import header_of
from fleet.node_changes import NodeChange, hosts_file
from fleet.node_facts import NodeFacts
from fleet.registries_check import RegistriesPlan
from fleet.registries_removal import remove
from fleet.restart_reasons import why_restart
from fleet.sites import Host, Node

_FORBIDDEN = (
    "{node}: {unit} must be restarted to forget the site's registry, because {reason}, but the "
    "fleet file says `host.restart: never`. Write `auto`, or take the entries out by hand."
)


def plan_removal(host: Host, node: Node, facts: NodeFacts, plan: RegistriesPlan) -> NodeChange:
    """Return what to do on a node; hosts.toml files that are not ours stay.

    Args:
        host: What the fleet file says of the site's nodes.
        node: The node in the fleet file.
        facts: What was found, read with the plan's login server and endpoint.
        plan: The login server, and where the site's registry answers or last answered.

    Raises:
        HostFileInvalidError: The registries file can't be edited safely.
        RestartForbiddenError: The node needs a restart, which the fleet file forbids.
    """
    distribution = DISTRIBUTIONS[host.distribution]
    service = facts.services[distribution.unit_of(node.role)]
    where = f"{facts.node}: {facts.registries.path}"
    before = facts.registries.content if distribution.registries else None
    text = remove(before, plan, where)
    files = (
        *_ca_files(facts, plan, distribution, text or ""),
        *_hosts_files(facts, plan, distribution, text or ""),
        *_registries_files(facts, text, distribution),
    )
    change = NodeChange(node=node, distribution=distribution, service=service, files=files)
    if not change.due:
        return change.model_copy(update={"without_restart": "nothing changes"})
    reason = why_restart(facts, service, plan, distribution, text or "", change.due)
    if reason and host.restart == "never":
        raise RestartForbiddenError(
            _FORBIDDEN.format(node=facts.node, unit=service.unit, reason=reason)
        )
    if not reason and host.restart == "always":
        reason = "the fleet file says `host.restart: always`"
    why_not = "" if reason else f"containerd reads {facts.config_path} on each pull"
    return change.model_copy(update={"restart": reason, "without_restart": why_not})


def _registries_files(
    facts: NodeFacts, text: str | None, distribution: Distribution
) -> list[FileChange]:
    if distribution.registries is None or facts.registries.content is None:
        return []
    wanted = None if text is None else SecretStr(text)
    return [FileChange(before=facts.registries, wanted=wanted)]


def _hosts_files(
    facts: NodeFacts, plan: RegistriesPlan, distribution: Distribution, text: str
) -> list[FileChange]:
    if facts.config_path is None or facts.has_embedded_mirror:
        return []
    found = []
    for name in (plan.login_server, plan.endpoint.host):
        file = facts.hosts_files.get(name)
        if file is not None and header_of(file.content) == distribution.header:
            found.append(hosts_file(facts, plan, distribution, name, text))
    return found


def _ca_files(
    facts: NodeFacts, plan: RegistriesPlan, distribution: Distribution, text: str
) -> list[FileChange]:
    """Return our certificate authority's file, unless what stays in the file still names it."""
    path = distribution.ca_file(plan.login_server)
    if facts.ca_file.path != path or facts.ca_file.content is None or path in text:
        return []
    return [FileChange(before=facts.ca_file, wanted=None, keep_backup=False)]
