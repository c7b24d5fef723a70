"""K3s as a service on a lab host: good starts, broken files, and what systemd says of them."""

import re
import time
from datetime import timedelta
from functools import partial

import pytest

from tests.lab.host_bench import a_bench
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab]
soon = partial(wait_until, seconds=10)
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
BROKEN = b"mirrors:\n  a.azurecr.io: endpoint: x\n"


@pytest.fixture
def bench(tmp_path):
    with a_bench(tmp_path) as bench:
        yield bench


def show(login, unit="k3s"):
    text = login.run(f"systemctl show {unit}").out
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_a_new_host_runs_k3s(bench):
    login = bench.login(bench.host())
    state = show(login)
    assert (state["ActiveState"], state["SubState"], state["LoadState"]) == (
        "active",
        "running",
        "loaded",
    )
    assert login.run("systemctl is-active k3s; systemctl is-enabled k3s").out == "active\nenabled\n"
    assert login.run("systemctl is-system-running").out == "running\n"
    assert login.run("k3s --version").out.startswith("k3s version v1.31.4+k3s1 (")


def test_a_restart_takes_time_and_gives_a_new_invocation(bench):
    login = bench.login(bench.host(restart_seconds=0.4))
    before = show(login)
    started = time.monotonic()
    assert login.root("systemctl restart k3s").status == 0
    assert time.monotonic() - started >= 0.4
    after = show(login)
    assert after["InvocationID"] != before["InvocationID"]
    key = "ActiveEnterTimestampMonotonic"
    assert int(after[key]) >= int(before[key]) + 400_000
    assert (after["SubState"], after["NRestarts"]) == ("running", "0")
    assert ("restart", "k3s.service") in bench.actions()


def test_a_restart_can_be_ordered_without_waiting(bench):
    login = bench.login(bench.host(restart_seconds=1.0))
    login.root("systemctl restart --no-block k3s")
    soon(lambda: show(login)["ActiveState"] == "activating")
    soon(lambda: show(login)["ActiveState"] == "active")


def test_only_root_restarts_a_service(bench):
    host = bench.host()
    if host.mode == "translate":
        pytest.skip("everybody is root without namespaces")
    result = bench.login(host).run("systemctl restart k3s")
    assert result.status == 1
    assert "Interactive authentication required." in result.err
    assert ("restart", "k3s.service") not in bench.actions()


def test_a_broken_file_fails_a_servers_restart_and_loops(bench):
    login = bench.login(bench.host())
    login.root(f"cat > {REGISTRIES}", BROKEN)
    result = login.root("systemctl restart k3s")
    assert result.status == 1
    assert result.err.startswith(
        "Job for k3s.service failed because the control process exited with error code."
    )
    assert login.run("systemctl is-active k3s").out == "activating\n"
    soon(lambda: int(show(login)["NRestarts"]) >= 2)
    soon(lambda: show(login).items() >= {"Result": "exit-code", "ExecMainStatus": "1"}.items())
    journal = login.root("journalctl -u k3s -n 50 --no-pager").out
    assert "level=fatal" in journal
    assert "yaml: line 2: mapping values are not allowed" in journal
    counts = re.findall(r"Scheduled restart job, restart counter is at (\d+)\.", journal)
    assert int(counts[-1]) >= 2


def test_a_repaired_file_ends_the_loop_by_itself(bench):
    login = bench.login(bench.host())
    login.root(f"cat > {REGISTRIES}", BROKEN)
    login.root("systemctl restart k3s")
    login.root(f"rm {REGISTRIES}")
    soon(lambda: show(login)["SubState"] == "running")


def test_a_restart_by_hand_ends_the_count_of_restarts(bench):
    login = bench.login(bench.host())
    login.root(f"cat > {REGISTRIES}", BROKEN)
    login.root("systemctl restart k3s")
    soon(lambda: int(show(login)["NRestarts"]) >= 1)
    login.root(f"rm {REGISTRIES}; systemctl restart k3s")
    assert show(login)["NRestarts"] == "0"


def test_an_agents_restart_succeeds_and_then_crashes(bench):
    login = bench.login(bench.host(role="agent"))
    login.root(f"cat > {REGISTRIES}", BROKEN)
    assert login.root("systemctl restart k3s-agent").status == 0
    soon(lambda: show(login, "k3s-agent")["SubState"] == "auto-restart")
    state = show(login, "k3s-agent")
    soon(lambda: int(show(login, "k3s-agent")["NRestarts"]) >= int(state["NRestarts"]) + 2)
    key = "ActiveEnterTimestampMonotonic"
    assert int(show(login, "k3s-agent")[key]) > int(state[key])
    assert show(login, "k3s-agent")["Type"] == "exec"


def test_k3s_can_be_broken_by_one_string_in_its_file(bench):
    bench.faults.add(part="hosts", kind="k3s-broken", match="k3s start*10.43.0.9*")
    login = bench.login(bench.host())
    login.root(f"echo 'mirrors: {{a: {{endpoint: [\"http://10.43.0.8\"]}}}}' > {REGISTRIES}")
    assert login.root("systemctl restart k3s").status == 0
    login.root(f"sed -i s/0.8/0.9/ {REGISTRIES}")
    assert login.root("systemctl restart k3s").status == 1
    login.root(f"sed -i s/0.9/0.7/ {REGISTRIES}")
    assert login.root("systemctl restart k3s").status == 0


def test_a_fault_can_name_one_host_of_the_site(bench):
    bench.faults.add(part="hosts", kind="k3s-broken", match="two: k3s start*")
    one, two = bench.host("one"), bench.host("two")
    assert bench.login(one).root("systemctl restart k3s").status == 0
    assert bench.login(two).root("systemctl restart k3s").status == 1


def test_k3s_can_hang_while_it_starts(bench):
    login = bench.login(bench.host())
    bench.faults.add(part="hosts", kind="k3s-hang", match="k3s start*")
    assert login.run("timeout 0.5 sudo -n systemctl restart k3s").status == 124
    assert (show(login)["ActiveState"], show(login)["SubState"]) == ("activating", "start")
    bench.faults.clear()
    assert login.root("systemctl restart k3s").status == 0


def test_the_world_hears_when_k3s_runs_and_ends(bench):
    host, heard = bench.host(), []
    bench.loop.call(host.on_service, heard.append)
    login = bench.login(host)
    login.root("systemctl restart k3s")
    login.root("systemctl stop k3s")
    assert heard == [True, False, True, False]
    assert login.run("systemctl is-active k3s").status == 3


def test_unknown_units_have_the_statuses_of_systemd(bench):
    login = bench.login(bench.host())
    assert login.root("systemctl restart nope").status == 5
    assert login.run("systemctl is-active nope").status == 3
    assert login.run("systemctl status nope").status == 4
    assert show(login, "nope")["LoadState"] == "not-found"
    assert show(login, "k3s-agent")["LoadState"] == "not-found"


def test_show_answers_in_systemds_order_not_in_ours(bench):
    login = bench.login(bench.host())
    result = login.run("systemctl show k3s -p SubState,ActiveState --value")
    assert result.out == "active\nrunning\n"


def test_the_unit_and_its_command_are_shown(bench):
    login = bench.login(bench.host())
    assert show(login)["FragmentPath"] == "/etc/systemd/system/k3s.service"
    assert "argv[]=/usr/local/bin/k3s server ;" in show(login)["ExecStart"]
    assert "Type=notify" in login.run("systemctl cat k3s").out


def test_the_journal_can_be_read_since_a_moment(bench):
    login = bench.login(bench.host())
    moment = login.run("date +%s.%N").out.strip()
    assert "-- No entries --" in login.root(f"journalctl -u k3s --since @{moment}").out
    login.root("systemctl restart k3s")
    text = login.root(f"journalctl -u k3s --since @{moment} -o cat").out
    assert text.splitlines()[0].startswith("Stopping k3s.service")
    assert login.root("journalctl -u k3s -n 1 -o cat").out.count("\n") == 1
    assert login.root("journalctl -u k3s --since '5 min ago'").out.count("\n") > 3


def test_a_user_does_not_see_the_systems_journal(bench):
    host = bench.host()
    if host.mode == "translate":
        pytest.skip("everybody is root without namespaces")
    assert "-- No entries --" in bench.login(host).run("journalctl -u k3s").out


def test_a_host_that_starts_with_a_broken_file_loops_from_boot(bench, tmp_path):
    path = tmp_path / "oslo-1/root" / REGISTRIES[1:]
    path.parent.mkdir(parents=True)
    path.write_bytes(BROKEN)
    assert show(bench.login(bench.host()))["ActiveState"] == "activating"


def test_a_jump_host_has_no_k3s(bench):
    host = bench.host(role="jump")
    assert host.service is None
    assert show(bench.login(host))["LoadState"] == "not-found"


def test_a_host_lives_in_the_labs_time_after_a_jump(bench):
    login = bench.login(bench.host())
    assert abs(float(login.run("date +%s").out) - time.time()) < 5
    bench.clock.jump(timedelta(days=30))
    month = 30 * 86400
    assert abs(float(login.run("date +%s").out) - time.time() - month) < 5
    assert login.run("date -u -d @0 +%Y").out == "1970\n"
    login.root("systemctl restart k3s")
    since = show(login)["ActiveEnterTimestamp"]
    assert abs(float(login.run(f"date -d '{since}' +%s").out) - time.time() - month) < 5
    assert bench.actions() == [("restart", "k3s.service")]
