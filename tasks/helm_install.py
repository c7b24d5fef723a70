"""Choose who installs a site's chart, and install it with helm where that is us.

helm runs on this machine and reaches the cluster's API the way we do, through the SSH tunnel: no
node needs helm. Runs of one site hold its lock and helm ends with the run that started it, so an
unfinished release of ours means that a run was killed.
"""

from pydantic import SecretStr

from clients.helm_cli import HelmCli
from fleet.chart_installer import InstallerChoice, choose_installer, refuse_second_installer
from fleet.errors import NotOnboardedError
from fleet.helm_chart import connection_secret_name, read_connection_string
from fleet.helm_command import (
    check_helm_version,
    explain_failure,
    redact_words,
    upgrade_arguments,
)
from fleet.helm_release import (
    close_unfinished,
    plan_release,
    read_release,
    release_differences,
    wanted_values,
)
from fleet.outcomes import Action, Outcome
from tasks.restart_gate import hold_chart
from tasks.run_log import say
from tasks.sessions import SiteSession


def choose(session: SiteSession) -> InstallerChoice:
    """Return who installs the chart at a site; a session finds that out once.

    Raises:
        ClusterNotSuitableError: The fleet file's choice does not fit the cluster.
    """
    chart = session.site.chart
    if session.installer is None or session.installer[0] != chart:
        cluster, is_helm = session.cluster, chart.installer == "helm"
        definition = None if is_helm else cluster.find_chart_definition()
        session.installer = (chart, choose_installer(chart, definition))
    return session.installer[1]


def check_installer(session: SiteSession) -> InstallerChoice:
    """Return who installs the chart, say why, and see that it can.

    Raises:
        ClusterNotSuitableError: The fleet file's choice does not fit the cluster.
        HelmMissingError: helm is needed on this machine, and there is none that fits.
    """
    choice = choose(session)
    say(f"the chart is installed by {choice.installer}: {choice.why}")
    if choice.is_helm:
        check_helm_version(HelmCli().read_version())
    return choice


def install_with_helm(session: SiteSession, *, may_wait: bool = True) -> Outcome:
    """Install or upgrade the site's release where it differs from the fleet file.

    A release that is broken is mended at once, any other change waits for the site's window where
    it `may_wait`.

    Raises:
        NotOnboardedError: There is no connection string yet.
        NotOursError: Somebody else made the release, or a HelmChart of that name.
        HelmMissingError: There is no helm that fits.
        ChartFailedError: helm could not do it; its words are in the text.
        ClusterUnreachableError, ClusterChangedError: It may work on the next try.
    """
    cluster, chart = session.cluster, session.site.chart
    text = _connection_string(session)
    refuse_second_installer(session.site, cluster.find_chart(chart.namespace, chart.release))
    secret = cluster.find_newest_release(chart.namespace, chart.release)
    values = wanted_values(chart, text)
    release = read_release(secret) if secret else None
    plan = plan_release(session.site, values, release)
    if may_wait and release and release.status == "deployed" and plan.action is Action.CHANGED:
        names = release_differences(session.site, values, release)
        if hold_chart(session, names):
            return Outcome(kind="Helm release", name=chart.release, action=Action.UNCHANGED)
    if secret is not None and plan.unfinished:
        say(f"closing the unfinished Helm release {secret.meta.name}")
        cluster.patch_secret(chart.namespace, secret.meta.name, close_unfinished(secret))
    if plan.action is not Action.UNCHANGED:
        _run_helm(session, text, values)
    return Outcome(kind="Helm release", name=chart.release, action=plan.action, detail=plan.detail)


def _run_helm(session: SiteSession, text: SecretStr, values: SecretStr) -> None:
    site, helm = session.site, HelmCli()
    version = check_helm_version(helm.read_version())

    def arguments(kubeconfig: str, values: str) -> list[str]:
        return upgrade_arguments(site, version, kubeconfig=kubeconfig, values=values)

    kubeconfig = session.cluster.kubeconfig()
    status, words = helm.upgrade(arguments, kubeconfig, values)
    if status != 0:
        raise explain_failure(site, status, redact_words(words, kubeconfig, text))


def _connection_string(session: SiteSession) -> SecretStr:
    chart, name = session.site.chart, connection_secret_name(session.site.chart)
    secret = session.cluster.find_secret(chart.namespace, name)
    text = read_connection_string(secret) if secret else None
    if text is None:
        raise NotOnboardedError(
            f"The Secret {chart.namespace}/{name} at {session.site.name} holds no connection "
            "string, so there is nothing to install the chart with. Onboard the site."
        )
    return text
