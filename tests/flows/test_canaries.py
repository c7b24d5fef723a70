"""No secret is anywhere but where it belongs: everything on disk is searched for all of them."""

import os
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from prefect.settings import get_current_settings

from lab.thread import LabThread
from tasks.records import read_record
from tests.flows.lab_runs import VARIABLES, read_secret, running_lab
from tests.flows.processes import environment, start

pytestmark = [
    pytest.mark.flow,
    pytest.mark.lab,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("prefect_harness"),
]
PROJECT = Path(__file__).parents[2]
PASSPHRASE = f"CANARY-{token_hex(12)}"  # new in each run: no shell or file can hold them
WRONG_SECRET = f"CANARY-{token_hex(12)}"
SKIPPED = {".venv", ".git", ".uv", ".cache", ".demo", ".lab", "__pycache__"}
REGISTER = """
import sys
from contextlib import suppress
from pathlib import Path
from blocks import AzureLogin, SiteSsh
from pydantic import SecretStr
values = sys.stdin.read().split("\\0")
tenant, client, secret, authority, manager, audience, ca, key, hosts, passphrase = values
AzureLogin(kind="service principal with secret", tenant_id=tenant, client_id=client,
    client_secret=SecretStr(secret), cloud="custom", authority=authority,
    resource_manager=manager, audience=audience, ca_file=ca).save("canary-azure", overwrite=True)
SiteSsh(user="edge", private_key=SecretStr(key), passphrase=SecretStr(passphrase),
    known_hosts=hosts).save("canary-ssh", overwrite=True)
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabThread]:
    with running_lab(tmp_path / "lab", monkeypatch, sites=1) as lab:
        yield lab


def encodings(secret: str) -> set[bytes]:
    """Return a secret as it may be written: plain, base64 at each offset, in a login pair."""
    plain = secret.encode()
    found = {plain}
    for shift in range(3):
        coded = b64encode(b"x" * shift + plain)
        found.add(coded[4 if shift else 0 : -4])
    return found


def find(needles: Iterable[bytes], folder: Path, but: Iterable[Path] = ()) -> list[str]:
    """Return the files below a folder that hold a needle, compressed ones read as they are."""
    allowed = {path.resolve() for path in but}
    hits = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            path = Path(root) / name
            if path.resolve() in allowed or not path.is_file():
                continue
            if not os.access(path, os.R_OK):
                path.chmod(0o600)
            content = path.read_bytes()
            hits += [f"{path}: {needle!r}" for needle in needles if needle in content]
    return hits


class ArgumentWatch(threading.Thread):
    """Collects the argument lists of all processes on this machine, or other files, as it runs.

    It looks every 2 ms for processes that are new, and at each for its first 100 ms: a program is
    started in that time, and reading all again and again would take a core.
    """

    def __init__(self, *files: str) -> None:
        super().__init__(daemon=True)
        self.files = files or ("cmdline",)
        self.seen: set[bytes] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        looks: Counter[str] = Counter()
        while not self.ended.wait(0.002):
            for process in os.listdir("/proc"):  # noqa: PTH208 - a hundred times cheaper
                if process.isdigit() and looks[process] < 50:
                    looks[process] += 1
                    for name in self.files:
                        with suppress(OSError):
                            self.seen.add(Path("/proc", process, name).read_bytes())

    def end(self) -> set[bytes]:
        self.ended.set()
        self.join()
        return self.seen


def encrypted_key(path: Path) -> str:
    key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    ).decode()


def database_folder() -> Path:
    url = get_current_settings().server.database.connection_url
    assert url is not None
    return Path(url.get_secret_value().split("///")[1]).parent


def save_blocks(lab: LabThread, env: dict[str, str], key: str, secret: str | None = None) -> None:
    azure, node = dict(lab.info["azure"]), lab.info["sites"][0]["nodes"][0]
    azure["client_secret"] = secret or azure["client_secret"]
    names = ("tenant_id", "client_id", "client_secret", "authority", "resource_manager")
    values = [azure[name] for name in names]
    values += [azure["audience"], azure["ca_file"], key, Path(node["known_hosts"]).read_text()]
    values.append(PASSPHRASE)
    subprocess.run(
        [sys.executable, "-c", REGISTER], input="\0".join(values), text=True, env=env, check=True
    )
    path = lab.folder / "fleet.yaml"
    content = yaml.safe_load(path.read_text())
    for registry in content["registries"].values():
        registry["azure_login"] = "canary-azure"
    content["sites"][0]["ssh"] = {"block": "canary-ssh"}
    path.write_text(yaml.safe_dump(content))


def site_secrets(lab: LabThread) -> list[str]:
    """Return the sync and the client password as they ended up in the cluster."""
    config = yaml.safe_load(b64decode(read_secret(lab, "oslo")[".dockerconfigjson"]))
    chart = read_secret(lab, "oslo", "connected-registry-connection", "connected-registry")
    text = "".join(b64decode(value).decode() for value in chart.values())
    sync = text.split("SyncTokenPassword=")[1].split(";")[0]
    return [next(iter(config["auths"].values()))["password"], sync]


@pytest.mark.slow
def test_no_secret_is_in_database_results_logs_artifacts_arguments_or_project(
    lab: LabThread, tmp_path: Path
) -> None:
    key_file = Path(lab.info["sites"][0]["nodes"][0]["key_file"])
    key = encrypted_key(key_file)
    env = environment(lab, PREFECT_LOGGING_LEVEL="DEBUG")
    for variable in VARIABLES:
        del env[variable]
    save_blocks(lab, env, key)
    watch = ArgumentWatch()
    watch.start()
    fleet = str(lab.folder / "fleet.yaml")
    lab.faults.add(part="azure", kind="drop-after", match="*generateCredentials", times=1)
    process = start(["onboard", fleet, "--verbose"], env)
    output, _ = process.communicate()
    assert process.returncode == 0, output.decode()[-3000:]
    save_blocks(lab, env, key, WRONG_SECRET)
    refused = start(["onboard", fleet, "--verbose"], env)
    output += refused.communicate()[0]
    assert refused.returncode == 1
    assert b"AADSTS7000215" in output
    watch.ended.set()
    watch.join()

    secrets = [lab.info["azure"]["client_secret"], PASSPHRASE, WRONG_SECRET, *site_secrets(lab)]
    secrets += [line for line in key.splitlines() if "PRIVATE KEY" not in line][2:5]
    secrets += [line for line in key_file.read_text().splitlines() if "PRIVATE KEY" not in line][1:]
    needles = set().union(*(encodings(secret) for secret in secrets))
    assert all(len(needle) >= 12 for needle in needles)

    (tmp_path / "control").mkdir()
    (tmp_path / "control/leak").write_bytes(b"..." + min(needles) + b"...")
    assert len(find(needles, tmp_path / "control")) >= 1

    assert find(needles, database_folder()) == []
    assert any(database_folder().glob("*.db"))
    assert find(needles, Path(get_current_settings().home)) == []
    assert read_record("lab", "oslo") is not None
    assert find(needles, PROJECT) == []
    own = [lab.folder / "lab.json", lab.folder / "env.sh", key_file]
    own += list(lab.folder.rglob("id_ed25519"))
    assert find(needles, lab.folder, but=own) == []
    assert [needle for needle in needles if needle in output] == []
    assert [line for line in watch.seen if any(needle in line for needle in needles)] == []
    assert any(b"onboard" in line for line in watch.seen)
    assert list(Path("/dev/shm").glob("acrfleet-*")) == []
