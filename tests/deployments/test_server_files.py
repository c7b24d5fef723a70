"""The files of deployments/ that can't all be run here: parsed, and held against what they name."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
UNITS = sorted(DEPLOYMENTS.rglob("*.service"))
ENV_FILES = {path.name: path for path in sorted(DEPLOYMENTS.rglob("*.env.example"))}
_OTHER_VARIABLES = {
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "DO_NOT_TRACK",
    "PREFECT_SERVER_ENCRYPTION_KEY",
}


def settings_of(name: str) -> dict[str, str]:
    text = ENV_FILES[name].read_text()
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


@cache
def known_variables() -> frozenset[str]:
    """Every variable that Prefect and its package for Redis read, and a few more."""
    from prefect.settings import Settings
    from prefect_redis.client import RedisMessagingSettings

    redis = _names(RedisMessagingSettings, "PREFECT_REDIS_MESSAGING")
    return frozenset(_OTHER_VARIABLES | redis | _names(Settings, "PREFECT"))


def _names(model: Any, prefix: str) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        own = f"{prefix}_{name.upper()}"
        choices = getattr(field.validation_alias, "choices", ())
        found |= {own} | {str(one).upper() for one in choices if isinstance(one, str)}
        if hasattr(field.annotation, "model_fields"):
            found |= _names(field.annotation, own)
    return found


@pytest.mark.parametrize("name", ENV_FILES)
def test_prefect_knows_every_variable_of_an_example(name: str) -> None:
    assert len(settings_of(name)) > 5
    assert settings_of(name).keys() <= known_variables()


@pytest.mark.parametrize("name", ENV_FILES)
def test_no_example_holds_a_secret_and_git_ignores_what_is_made_of_it(name: str) -> None:
    for variable, value in settings_of(name).items():
        if re.search("AUTH|PASSWORD|SECRET|ENCRYPTION", variable):
            assert re.fullmatch("<.*>", value), variable
        assert not re.search(r"://[^/<@]*:[^/<@]+@", value), variable
    made = ENV_FILES[name].with_suffix("").relative_to(ROOT)
    assert (
        subprocess.run(["git", "check-ignore", "-q", made], cwd=ROOT, check=False).returncode == 0
    )


def test_the_api_wants_a_login_and_workers_have_it() -> None:
    assert "PREFECT_SERVER_API_AUTH_STRING" in settings_of("server.env.example")
    assert "PREFECT_API_AUTH_STRING" in settings_of("worker.env.example")


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "server/compose.yaml").read_text())
    return content


def test_only_the_balancer_is_reached_from_outside_and_only_automations_go_there() -> None:
    services = compose()["services"]
    assert {name for name, one in services.items() if "ports" in one} == {"front"}
    assert compose()["networks"]["inside"] == {"internal": True}
    outside = {name for name, one in services.items() if "outside" in one["networks"]}
    assert outside == {"front", "services"}


def test_the_balancer_knows_the_servers_by_the_names_of_compose() -> None:
    services = compose()["services"]
    places = services["front"]["environment"]
    used = set(re.findall(r"\$\{(\w+)\}", (DEPLOYMENTS / "server/haproxy.cfg").read_text()))
    assert used == places.keys()
    for name in ("PREFECT_API_1", "PREFECT_API_2"):
        host, _, port = places[name].partition(":")
        command = services[host]["command"]
        assert command[command.index("--port") + 1] == port
    for one in services.values():
        assert set(one.get("depends_on", ())) <= services.keys()


def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOYMENTS / "kubernetes/worker.yaml").read_text()))


def _commands() -> list[list[str]]:
    """Every command of ours in containers and units."""
    found = [one["command"] for one in compose()["services"].values() if "command" in one]
    found += [
        container["command"]
        for one in kubernetes()
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    ]
    for unit in UNITS:
        lines = re.findall(
            r"^Exec\w+=/opt/acrfleet/.venv/bin/(.*)$", unit.read_text(), re.MULTILINE
        )
        assert len(lines) == unit.read_text().count("\nExec")
        found += [shlex.split(line) for line in lines]
    return [command for command in found if command[0] == "prefect"]


@cache
def _help(*words: str) -> str:
    told = subprocess.run(
        [sys.executable, "-m", *words, "--help"],
        env={**os.environ, "COLUMNS": "200"},  # so that no option is broken into two
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_in_containers_and_units_exists_with_its_options() -> None:
    commands = _commands()
    assert len(commands) >= 8
    for command in commands:
        first = next((n for n, word in enumerate(command) if word.startswith("-")), len(command))
        text = _help(*command[:first])
        assert f"Usage: {' '.join(command[:first])}" in text
        for option in (word for word in command if word.startswith("-")):
            assert re.search(rf"{option}\b", text), (command, option)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """All but the program, which is not installed where it would be."""
    text = unit.read_text().replace("/opt/acrfleet/.venv/bin/prefect", "/bin/true")
    text = text.replace("WorkingDirectory=/opt/acrfleet", "WorkingDirectory=/")
    copy = tmp_path / unit.name.replace("@", "@4201" if "@" in unit.name else "")
    copy.write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    about_us = [line for line in found.stderr.splitlines() if copy.name in line]
    assert about_us == []


def _container_file() -> str:
    return (DEPLOYMENTS / "Containerfile").read_text().replace("\\\n", " ")


def test_the_container_file_copies_what_is_there_and_all_that_a_wheel_needs() -> None:
    import tomllib

    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", _container_file(), re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= copied
    extras = set(re.findall(r"--extra (\S+)", _container_file()))
    assert extras <= project["project"]["optional-dependencies"].keys()
    allowed = (ROOT / ".containerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}
