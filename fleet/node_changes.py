"""What has to be done on one node, decided before anything is done on any."""

from pydantic import SecretStr

from fleet.distributions import DISTRIBUTIONS, Distribution
from fleet.host_errors import HostFileInvalidError, RestartForbiddenError
from fleet.host_files import FileChange, HostFile
from fleet.hosts_toml import folder_names, header_of, means_the_same, render
from fleet.node_facts import NodeFacts
from fleet.registries_endpoints import read_sources
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.restart_reasons import why_restart, why_unread
from fleet.restarts import ServiceState
from fleet.sites import Host, Node
from fleet.strict import Strict

_FOREIGN = (
    "{node}: {path} was not written by {writer}, and containerd would follow it instead of what we "
    "write. Remove it, or move what it says into {place}; it was left alone."
)
_FORBIDDEN = (
    "{node}: {unit} must be restarted, because {reason}, but the fleet file says `host.restart: "
    "never`. Write `auto` when a restart suits the site; nothing was changed."
)


class NodeChange(Strict):
    """The change of one node: its files in the order of their writing, and whether to restart.

    Attributes:
        node: The node in the fleet file.
        distribution: What runs on it.
        service: The unit that reads the files, as it was found.
        files: All files that matter, right ones too: the certificate authority, hosts.toml files,
            registries.yaml. Only those that are due are written.
        restart: Why the unit must be restarted, for people; empty: it need not.
        without_restart: Why it need not, for people; empty where it must.
    """

    node: Node
    distribution: Distribution
    service: ServiceState
    files: tuple[FileChange, ...]
    restart: str = ""
    without_restart: str = ""

    @property
    def due(self) -> tuple[FileChange, ...]:
        """Return the files that must be written."""
        return tuple(file for file in self.files if file.is_due)

    @property
    def must_write(self) -> bool:
        """Return whether any file differs from what it should be."""
        return bool(self.due)

    @property
    def unit(self) -> str:
        """Return the unit that reads the files."""
        return self.service.unit


def plan_change(host: Host, node: Node, facts: NodeFacts, plan: RegistriesPlan) -> NodeChange:
    """Return what to do on a node.

    Args:
        host: What the fleet file says of the site's nodes.
        node: The node in the fleet file.
        facts: What was found, read with the plan's login server and endpoint.
        plan: What the files shall say.

    Raises:
        HostFileInvalidError: A file of the node is not safe to merge into, or not ours.
        RestartForbiddenError: The node needs a restart, which the fleet file forbids.
    """
    distribution = DISTRIBUTIONS[host.distribution]
    plan = _with_ca_file(plan, distribution)
    service = facts.services[distribution.unit_of(node.role)]
    text = wanted_registries(facts, plan, distribution)
    files = (
        *_ca_files(facts, plan),
        *_hosts_files(host, facts, plan, distribution, text),
        *_registries_files(facts, text, distribution),
    )
    change = NodeChange(node=node, distribution=distribution, service=service, files=files)
    reason = why_restart(facts, service, plan, distribution, text, change.due)
    if not reason and host.restart == "always":
        unread = why_unread(facts, service, change.due)
        reason = unread and f"{unread} and the fleet file says `host.restart: always`"
    if reason and host.restart == "never":
        raise RestartForbiddenError(
            _FORBIDDEN.format(node=facts.node, unit=service.unit, reason=reason)
        )
    if reason:
        return change.model_copy(update={"restart": reason})
    return change.model_copy(update={"without_restart": _why_not(facts, change)})


def wanted_registries(facts: NodeFacts, plan: RegistriesPlan, distribution: Distribution) -> str:
    """Return what the registries file should say; on plain containerd, what it would say.

    Raises:
        HostFileInvalidError: The file is not safe to merge into.
    """
    where = f"{facts.node}: {facts.registries.path}"
    before = facts.registries.content if distribution.registries else None
    return merge(before, _with_ca_file(plan, distribution), where)


def _with_ca_file(plan: RegistriesPlan, distribution: Distribution) -> RegistriesPlan:
    path = (plan.ca_file or distribution.ca_file(plan.login_server)) if plan.ca else None
    return plan.model_copy(update={"ca_file": path})


def _why_not(facts: NodeFacts, change: NodeChange) -> str:
    if not change.must_write:
        return "nothing changes"
    return f"containerd reads {facts.config_path} on each pull"


def _ca_files(facts: NodeFacts, plan: RegistriesPlan) -> list[FileChange]:
    if plan.ca is None or plan.ca_file is None:
        return []
    same = facts.ca_file.path == plan.ca_file
    before = facts.ca_file if same else HostFile(path=plan.ca_file)
    return [FileChange(before=before, wanted=SecretStr(plan.ca), mode=0o644, keep_backup=False)]


def _registries_files(facts: NodeFacts, text: str, distribution: Distribution) -> list[FileChange]:
    if distribution.registries is None:
        return []
    return [FileChange(before=facts.registries, wanted=SecretStr(text))]


def _hosts_files(
    host: Host, facts: NodeFacts, plan: RegistriesPlan, distribution: Distribution, text: str
) -> list[FileChange]:
    """Return the hosts.toml of our two names, where containerd reads them and they are ours.

    Where every change restarts a service that renders them anew, they are as it renders them: a
    dial timeout of ours would be gone with each restart, and each run would restart for it.
    """
    if facts.config_path is None:
        return []
    names = (plan.login_server, plan.endpoint.host)
    _refuse_foreign(facts, names, distribution)
    if facts.has_embedded_mirror:
        return []
    timed = host.restart != "always" or distribution.registries is None
    files = [hosts_file(facts, plan, distribution, name, text, timed=timed) for name in names]
    return [file for file in files if file.is_due or file.wanted]


def _refuse_foreign(facts: NodeFacts, names: tuple[str, ...], distribution: Distribution) -> None:
    found = [facts.hosts_files.get(folder) for name in names for folder in folder_names(name)]
    problems = [
        _FOREIGN.format(
            node=facts.node,
            path=file.path,
            writer=distribution.title if distribution.registries else "acrfleet",
            place=facts.registries.path or "another registry's file",
        )
        for file in found
        if file and file.kind != "absent" and header_of(file.content) != distribution.header
    ]
    if problems:
        raise HostFileInvalidError(problems)


def hosts_file(
    facts: NodeFacts,
    plan: RegistriesPlan,
    distribution: Distribution,
    name: str,
    text: str,
    *,
    timed: bool = True,
) -> FileChange:
    """Return one file, with a dial timeout for our endpoint where it is `timed`.

    What means the same already stays as it is.
    """
    before = facts.hosts_files.get(name) or HostFile(path=f"{facts.certs_d}/{name}/hosts.toml")
    no_default = facts.is_set("disable-default-registry-endpoint")
    sources = read_sources(text, name, no_default=no_default)
    trimmed = facts.has_containerd_2 or distribution.registries is None
    our_url = f"{plan.endpoint.url}/v2" if timed else None
    wanted = (
        None
        if sources is None
        else render(sources, distribution.header, trimmed=trimmed, our_url=our_url)
    )
    if means_the_same(before.content, wanted):
        wanted = before.content
    secret = None if wanted is None else SecretStr(wanted)
    return FileChange(before=before, wanted=secret, keep_backup=False)
