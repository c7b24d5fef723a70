import pytest

from fleet.distributions import DISTRIBUTIONS
from fleet.host_errors import HostFileInvalidError, RestartForbiddenError
from fleet.hosts_toml import means_the_same
from fleet.node_changes import NodeChange, plan_change
from fleet.node_facts import NodeFacts
from fleet.outcomes import SiteEndpoint
from fleet.registries_yaml import RegistriesPlan, merge
from fleet.sites import Host, Node
from tests.node_output import ENDPOINT_HOST, LOGIN_SERVER, NOW, file_lines, some_facts

SERVER = Node(name="oslo-1", address="192.0.2.1")
PLAN = RegistriesPlan(
    login_server=LOGIN_SERVER, endpoint=SiteEndpoint(address="10.43.0.9", port=80)
)
HTTPS = RegistriesPlan(
    login_server=LOGIN_SERVER,
    endpoint=SiteEndpoint(address="10.43.0.9", port=443, scheme="https"),
    ca="-----BEGIN CERTIFICATE-----\n",
)
MERGED = merge(None, PLAN, "oslo")
LATE = {"file.mtime": str(int(NOW.timestamp()))}
OLD_CONTAINERD = {"config_path": ""}
HOSTS_TOML = '\n[host."http://10.43.0.9:80/v2"]\n  capabilities = ["pull", "resolve"]\n'


def plan(
    facts: NodeFacts, of: str = "k3s", restart: str = "auto", change: RegistriesPlan = PLAN
) -> NodeChange:
    host = Host.model_validate({"distribution": of, "restart": restart})
    return plan_change(host, SERVER, facts, change)


def rendered(of: str = "k3s") -> dict[str, str]:
    """Return the hosts.toml files that we would write, as K3s writes them: without our timeout."""
    files = plan(some_facts(None, of=of), of).files
    texts = {file.path.split("/")[-2]: file.wanted for file in files if file.path.endswith(".toml")}
    return {
        name: text.get_secret_value().replace('  dial_timeout = "2s"\n', "")
        for name, text in texts.items()
        if text
    }


def names(change: NodeChange) -> list[str]:
    return ["/".join(file.path.split("/")[-2:]) for file in change.due]


def test_a_first_change_writes_certs_d_before_the_registries_file_and_restarts_nothing() -> None:
    change = plan(some_facts(None))
    assert names(change) == [
        f"{LOGIN_SERVER}/hosts.toml",
        f"{ENDPOINT_HOST}/hosts.toml",
        "k3s/registries.yaml",
    ]
    assert change.restart == ""
    assert (
        "reads /var/lib/rancher/k3s/agent/etc/containerd/certs.d on each" in change.without_restart
    )
    assert [file.keep_backup for file in change.files] == [False, False, True]
    assert change.files[-1].wanted_sha256 == plan(some_facts(MERGED)).files[-1].before.sha256


@pytest.mark.parametrize("with_timeout", [True, False], ids=["ours", "as K3s rendered it"])
def test_files_that_are_right_need_nothing(with_timeout: bool) -> None:
    texts = {file.path.split("/")[-2]: file.wanted for file in plan(some_facts(None)).files[:2]}
    ours = {name: text.get_secret_value() for name, text in texts.items() if text}
    hosts = ours if with_timeout else rendered()
    change = plan(some_facts(MERGED, hosts=hosts, **LATE))
    assert not change.must_write
    assert change.restart == ""
    assert change.without_restart == "nothing changes"


def test_a_hosts_file_of_another_layout_is_not_rewritten() -> None:
    hosts = {name: text.replace("[host]\n\n", "") for name, text in rendered().items()}
    assert not plan(some_facts(MERGED, hosts=hosts)).must_write


def test_a_run_killed_before_certs_d_was_written_is_finished_without_a_restart() -> None:
    change = plan(some_facts(MERGED, **LATE))
    assert names(change) == [f"{LOGIN_SERVER}/hosts.toml", f"{ENDPOINT_HOST}/hosts.toml"]
    assert change.restart == ""


def test_containerd_without_certs_d_is_restarted() -> None:
    change = plan(some_facts(None, **OLD_CONTAINERD))
    assert names(change) == ["k3s/registries.yaml"]
    assert change.restart == (
        "/etc/rancher/k3s/registries.yaml changes and its containerd does not read certs.d"
    )
    assert change.without_restart == ""


def test_a_run_killed_between_write_and_restart_is_finished() -> None:
    change = plan(some_facts(MERGED, **OLD_CONTAINERD, **LATE))
    assert not change.must_write
    assert "was written after k3s started" in change.restart
    assert plan(some_facts(MERGED, **OLD_CONTAINERD)).restart == ""


def test_a_service_that_is_down_is_restarted() -> None:
    facts = some_facts(MERGED, hosts=rendered(), **{"k3s.SubState": "auto-restart"})
    assert "auto-restart" in plan(facts).restart


def test_the_embedded_mirror_is_left_to_k3s() -> None:
    change = plan(some_facts(None, **{"setting.embedded-registry": "true"}))
    assert names(change) == ["k3s/registries.yaml"]
    assert "embedded mirror is put into hosts.toml at a start only" in change.restart


def test_credentials_for_our_names_need_a_start_once() -> None:
    text = f"configs: {{{LOGIN_SERVER}: {{auth: {{username: edge, password: hunter2}}}}}}\n"
    change = plan(some_facts(text))
    assert change.restart == (
        f"the credentials for {LOGIN_SERVER} in /etc/rancher/k3s/registries.yaml are read at a "
        "start only"
    )
    assert "credentials" not in plan(some_facts(text, auth_host=LOGIN_SERVER)).restart
    elsewhere = text.replace(LOGIN_SERVER, "registry.example")
    assert plan(some_facts(elsewhere)).restart == ""


def test_always_restarts_for_any_change_and_after_a_killed_run() -> None:
    words = "and the fleet file says `host.restart: always`"
    assert words in plan(some_facts(None), restart="always").restart
    right = some_facts(MERGED, hosts=rendered(), **LATE)
    assert words in plan(right, restart="always").restart
    assert plan(some_facts(MERGED, hosts=rendered()), restart="always").restart == ""


def test_never_refuses_a_change_that_needs_a_restart() -> None:
    assert plan(some_facts(None), restart="never").restart == ""
    with pytest.raises(RestartForbiddenError) as refused:
        plan(some_facts(None, **OLD_CONTAINERD), restart="never")
    assert "oslo/oslo-1: k3s must be restarted, because" in str(refused.value)
    assert "does not read certs.d" in str(refused.value)


@pytest.mark.parametrize("folder", [LOGIN_SERVER, ENDPOINT_HOST, "10.43.0.9_80_"])
def test_a_foreign_file_for_one_of_our_names_is_refused(folder: str) -> None:
    facts = some_facts(None, hosts={folder: '# by hand\nserver = "https://x"\n'})
    with pytest.raises(HostFileInvalidError) as refused:
        plan(facts)
    assert f"certs.d/{folder}/hosts.toml was not written by K3s" in str(refused.value)


def test_a_file_of_k3s_is_not_ours_on_plain_containerd() -> None:
    hosts = {LOGIN_SERVER: f"{DISTRIBUTIONS['k3s'].header}\n{HOSTS_TOML}"}
    with pytest.raises(HostFileInvalidError, match="was not written by acrfleet"):
        plan(some_facts(None, of="containerd", hosts=hosts), "containerd")


def test_rke2_gets_its_own_paths_and_header() -> None:
    change = plan(some_facts(None, of="rke2"), "rke2")
    assert change.unit == "rke2-server"
    assert change.files[-1].path == "/etc/rancher/rke2/registries.yaml"
    wanted = change.files[0].wanted
    assert wanted
    assert wanted.get_secret_value().startswith("# File generated by rke2. DO NOT EDIT.\n")
    assert change.files[0].path.startswith("/var/lib/rancher/rke2/agent/etc/containerd/certs.d/")


def test_plain_containerd_gets_hosts_files_alone_and_no_restart() -> None:
    change = plan(some_facts(None, of="containerd"), "containerd")
    assert names(change) == [f"{LOGIN_SERVER}/hosts.toml", f"{ENDPOINT_HOST}/hosts.toml"]
    assert change.files[0].path == f"/etc/containerd/certs.d/{LOGIN_SERVER}/hosts.toml"
    assert change.restart == ""
    wanted = change.files[0].wanted
    assert wanted
    assert wanted.get_secret_value().startswith("# File written by acrfleet.")
    assert means_the_same(
        wanted.get_secret_value(),
        f'server = "https://{LOGIN_SERVER}/v2"\n'
        f'capabilities = ["pull", "resolve", "push"]\n{HOSTS_TOML}',
    )


def test_plain_containerd_that_is_right_needs_nothing() -> None:
    facts = some_facts(None, of="containerd", hosts=rendered("containerd"))
    assert not plan(facts, "containerd").must_write


def test_containerd_is_restarted_once_after_its_configuration_changed() -> None:
    facts = some_facts(None, of="containerd", config_mtime=str(int(NOW.timestamp())))
    assert "configuration was written after containerd started" in plan(facts, "containerd").restart


def test_the_certificate_authority_comes_first_and_is_named_in_both_files() -> None:
    change = plan(some_facts(None), change=HTTPS)
    path = f"/etc/rancher/k3s/acrfleet-{LOGIN_SERVER}-ca.crt"
    assert change.files[0].path == path
    assert (change.files[0].mode, change.files[0].keep_backup) == (0o644, False)
    texts = [file.wanted.get_secret_value() for file in change.files if file.wanted]
    assert texts[0] == HTTPS.ca
    assert f'ca = ["{path}"]' in texts[1]
    assert f'ca_file: "{path}"' in texts[-1]
    assert change.restart == ""


def test_a_certificate_authority_that_is_there_is_not_written_again() -> None:
    path = DISTRIBUTIONS["k3s"].ca_file(LOGIN_SERVER)
    lines = file_lines("ca", HTTPS.ca or "")
    facts = some_facts(None, **lines, **{"ca.path": path})
    assert path not in [file.path for file in plan(facts, change=HTTPS).due]


def test_a_file_that_k3s_would_not_render_is_removed() -> None:
    untrusted = HTTPS.model_copy(update={"ca": None})
    folder = "10.43.0.9:443"
    path = f"/var/lib/rancher/k3s/agent/etc/containerd/certs.d/{folder}/hosts.toml"
    stale = {"hosts.9.folder": folder, "hosts.9.path": path}
    text = f"{DISTRIBUTIONS['k3s'].header}\n[host]\n"
    change = plan(some_facts(None, **stale, **file_lines("hosts.9", text)), change=untrusted)
    assert [file.path for file in change.due if file.wanted is None] == [path]


def test_other_mirrors_of_our_names_stay_in_both_files() -> None:
    text = f"mirrors: {{{LOGIN_SERVER}: {{endpoint: [https://cache.example]}}}}\n"
    change = plan(some_facts(text))
    wanted = change.files[0].wanted
    assert wanted
    first, second = (wanted.get_secret_value().index(url) for url in ("10.43", "cache.example"))
    assert first < second
    assert change.files[0].path.endswith(f"/{LOGIN_SERVER}/hosts.toml")
