"""What can be wrong with a site, as facts: one change each to one on which a pull works."""

from datetime import timedelta

from fleet.azure_objects import PasswordSlot, RegistryFacts, StatusDetail
from fleet.chart_progress import Snapshot
from fleet.cluster_objects import ClaimView, Meta, PodView
from fleet.explain_facts import NodeSeen, Pull, RegistrySeen, Seen, Unread, WaitingPod
from fleet.explain_logins import PodLogin
from tests.fleet.explain_makers import (
    DIGEST,
    HEADER,
    IMAGE,
    MIRRORS,
    NODE,
    a_cluster,
    a_map,
    a_node,
    a_token,
    an_azure,
    asked,
    connected,
    files,
    healthy,
    hosts_toml,
    stuck,
    waits,
)
from tests.node_output import ENDPOINT_HOST, LOGIN_SERVER, NOW

_MISSING = RegistrySeen(let_in=True, may_pull=True)
_REFUSED = RegistrySeen(let_in=False)
_SILENT = RegistrySeen(silent="connection refused")
_DEAD_NODE = {"k3s.ActiveState": "activating", "k3s.SubState": "auto-restart", "k3s.NRestarts": "9"}

FACTS: dict[str, Seen] = {
    "tls stands beside an http endpoint": healthy(
        nodes=(
            a_node(
                f'{MIRRORS}configs:\n  "{ENDPOINT_HOST}":\n    tls:\n'
                "      insecure_skip_verify: true\n",
                **stuck(),
            ),
        )
    ),
    "a template drops the node's credentials": healthy(
        cluster=a_cluster(logins=()),
        answers=RegistrySeen(),
        nodes=(
            a_node(
                f'{MIRRORS}configs:\n  "{ENDPOINT_HOST}":\n    auth: {{username: a}}\n',
                template="/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl",
                **stuck("failed to authorize: no basic auth credentials"),
            ),
        ),
    ),
    "a hosts.toml has no host tree": healthy(
        nodes=(
            a_node(
                hosts=files(**{ENDPOINT_HOST: f'{HEADER}host = "http://{ENDPOINT_HOST}"\n'}),
                **stuck("failed to resolve reference: invalid `host` tree"),
            ),
        )
    ),
    "the pull secret was made anew while the registry is away": healthy(
        cluster=a_cluster(
            version="v1.35.1+k3s1",
            renewed=("default",),
            waiting=(WaitingPod(name="default/navigation-0", reason="ImagePullBackOff"),),
        ),
        answers=_SILENT,
        nodes=(a_node(**stuck("connection refused")),),
    ),
    "the image is named after another registry": healthy(image=asked("ghcr.io/vessel/app:1")),
    "the image is not in Azure": healthy(azure=an_azure(image=None), answers=_MISSING),
    "there is no connected registry": healthy(azure=an_azure(connected=None), answers=_MISSING),
    "the data endpoint is off": healthy(
        azure=an_azure(
            registry=RegistryFacts("acrnorthsea", LOGIN_SERVER, "Premium", "we", False, False)
        ),
        answers=_MISSING,
    ),
    "the site registry's disk is full": healthy(
        azure=an_azure(
            connected=connected(status_details=(StatusDetail("Disk", "DiskError", "No space"),))
        ),
        answers=_MISSING,
    ),
    "the fleet file does not select the repository": healthy(
        image=asked("office/payroll:1"), answers=_MISSING
    ),
    "the client's scope map lacks the repository": healthy(
        azure=an_azure(client_map=a_map("content/read", repository="vessel/other")),
        answers=RegistrySeen(let_in=True, may_pull=False),
    ),
    "there is no client token": healthy(azure=an_azure(client_token=None), answers=_REFUSED),
    "the client token is disabled": healthy(
        azure=an_azure(client_token=a_token(status="disabled")), answers=_REFUSED
    ),
    "the connected registry does not accept the token": healthy(
        azure=an_azure(connected=connected(client_token_ids=())), answers=_REFUSED
    ),
    "Azure renewed the password": healthy(
        azure=an_azure(
            lets_in=False,
            client_token=a_token(slots={"password1": PasswordSlot(NOW + timedelta(hours=1), None)}),
        ),
        answers=_REFUSED,
    ),
    "somebody edited the pull secret": healthy(azure=an_azure(lets_in=False), answers=_REFUSED),
    "the site does not know the password yet": healthy(
        azure=an_azure(lets_in=True), answers=_REFUSED
    ),
    "the site is away and seen through Azure alone": healthy(
        cluster=Unread(why="no route"),
        answers=Unread(why="no route"),
        nodes=(NodeSeen(node=NODE, facts=Unread(why="connection timed out")),),
    ),
    "the site is away and its repository not in the sync scope": healthy(
        azure=an_azure(sync_map=a_map("content/read", repository="vessel/other")),
        cluster=Unread(why="no route"),
        answers=Unread(why="no route"),
        nodes=(NodeSeen(node=NODE, facts=Unread(why="connection timed out")),),
    ),
    "Azure is away and a node's service is down": healthy(
        azure=Unread(why="no route"),
        cluster=Unread(why="connection refused"),
        answers=Unread(why="connection refused"),
        nodes=(a_node(**_DEAD_NODE, by_cloud=None, by_site=None),),
    ),
    "a node's registries file is unreadable and there is no backup": healthy(
        cluster=Unread(why="connection refused"),
        answers=Unread(why="connection refused"),
        nodes=(a_node("mirrors: [\n a: b: c\n", **_DEAD_NODE, by_cloud=None, by_site=None),),
    ),
    "a node's disk is full": healthy(nodes=(a_node(free_kb="1000", **stuck("no space left")),)),
    "a node's clock is off": healthy(
        nodes=(
            a_node(
                now=str(int(NOW.timestamp()) - 90000), **stuck("x509: certificate is not yet valid")
            ),
        )
    ),
    "the API does not answer though the server runs": healthy(
        cluster=Unread(why="connection refused"), answers=Unread(why="connection refused")
    ),
    "a namespace of the fleet file is not there": healthy(
        cluster=a_cluster(
            logins=(
                PodLogin(
                    namespace="apps",
                    account="*",
                    problem="no-namespace",
                    evidence="pull_secrets.namespaces of oslo names apps",
                ),
            )
        )
    ),
    "the registry was never installed": healthy(
        cluster=a_cluster(snapshot=Snapshot(installer="helm-controller"), endpoint="a Service"),
        answers=Unread(why="not there"),
    ),
    "the registry's volume is not bound": healthy(
        cluster=a_cluster(
            snapshot=waits(claims=(ClaimView(meta=Meta(name="the-pvc"), phase="Pending"),))
        ),
        answers=_SILENT,
    ),
    "the registry's pod crashes": healthy(
        cluster=a_cluster(
            snapshot=waits(
                pods=(
                    PodView(
                        meta=Meta(name="connected-registry-x"),
                        phase="Running",
                        ready=False,
                        restarts=4,
                        reasons=("CrashLoopBackOff",),
                        messages=(),
                    ),
                ),
                pod_words="No space left on device",
            )
        ),
        answers=_SILENT,
    ),
    "the registry runs and does not answer": healthy(answers=_SILENT),
    "the image is for another processor": healthy(
        answers=RegistrySeen(let_in=True, may_pull=True, digest=DIGEST, platforms=("linux/amd64",))
    ),
    "containerd has no config_path": healthy(
        nodes=(
            a_node(
                config_path="",
                template="/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl",
                **stuck(),
            ),
        )
    ),
    "only the cloud serves the image": healthy(
        nodes=(
            a_node(
                hosts={ENDPOINT_HOST: hosts_toml(ENDPOINT_HOST)},
                by_site=Pull(name=f"{ENDPOINT_HOST}/{IMAGE}", ok=True),
            ),
        )
    ),
    "the port is closed to the node": healthy(
        nodes=(a_node(closed="no route to host", **stuck("no route to host")),)
    ),
    "the pull fails and nobody knows why": healthy(nodes=(a_node(**stuck("unheard of")),)),
}
