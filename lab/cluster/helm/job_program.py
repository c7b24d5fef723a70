"""The program in K3s' helm job: decides between install, upgrade and uninstall.

It follows rancher/klipper-helm: a release that failed before is handled as FAILURE_POLICY says.
"""

import asyncio
import base64
from collections.abc import Iterator

from lab.clock import Clock
from lab.cluster.controllers.interface import Api
from lab.cluster.errors import ApiError
from lab.cluster.helm.engine import Helm, HelmError
from lab.cluster.helm.releases import Release
from lab.cluster.helm.values import Values, ValuesError, merge, parse, set_value
from lab.cluster.kinds import Object
from lab.cluster.node.containers import Container

_STUCK = {"failed", "pending-install", "pending-upgrade", "pending-rollback"}
_FLAGS = {"--create-namespace", "--take-ownership", "--force-conflicts"}


class HelmJob:
    """Runs one helm job pod."""

    def __init__(self, api: Api, clock: Clock, seconds: float) -> None:
        """Take `seconds` for each run."""
        self._api = api
        self._helm = Helm(api, clock.now)
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self, container: Container) -> None:
        """Run in the background until it ends or is stopped."""
        self._task = asyncio.get_running_loop().create_task(self._run(container))

    def stop(self) -> None:
        """End it at once."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, container: Container) -> None:
        await asyncio.sleep(self._seconds)
        spec = container.pod["spec"]["containers"][0]
        args, settings = list(spec["args"]), _environment(spec)
        container.log(f"+ helm {' '.join(args)} {settings['NAME']} {settings['CHART']}")
        try:
            if args[0] == "delete":
                await self._delete(container, settings)
            else:
                await self._install(container, args, settings)
        except (HelmError, ValuesError, ApiError) as error:
            container.log(f"Error: {error}")
            container.exit(1)
        else:
            container.exit(0)

    async def _delete(self, container: Container, settings: dict[str, str]) -> None:
        name = settings["NAME"]
        if await self._helm.uninstall(settings["TARGET_NAMESPACE"], name):
            container.log(f'release "{name}" uninstalled')
        else:
            container.log(f"{name} is not installed")

    async def _install(
        self, container: Container, args: list[str], settings: dict[str, str]
    ) -> None:
        name, namespace = settings["NAME"], settings["TARGET_NAMESPACE"]
        await self._settle_failure(container, name, namespace, settings["FAILURE_POLICY"])
        values = await self._values(container.pod, args)
        version = args[args.index("--version") + 1] if "--version" in args else ""
        release = Release(
            name,
            namespace,
            0,
            "pending-install",
            version,
            values,
            config_hash=settings.get("CONFIG_HASH", ""),
        )
        await self._helm.deploy(
            release,
            settings["CHART"],
            create_namespace="--create-namespace" in args,
            take_ownership="--take-ownership" in args,
        )
        container.log(
            f"Release {name!r} is deployed.\nSTATUS: deployed\nREVISION: {release.revision}"
        )

    async def _settle_failure(
        self, container: Container, name: str, namespace: str, policy: str
    ) -> None:
        history = await self._helm.history(namespace, name)
        if not history or history[-1].status not in _STUCK:
            return
        status = history[-1].status
        if policy == "abort":
            raise HelmError(f"release {name} is {status} and FAILURE_POLICY is abort: giving up")
        if policy == "reinstall":
            container.log(f"Uninstalling {name}, which is {status}")
            await self._helm.uninstall(namespace, name)
        else:
            container.log(f"Upgrading {name}, which is {status}")

    async def _values(self, pod: Object, args: list[str]) -> Values:
        values: Values = {}
        for name, text in await _files(self._api, pod):
            values = merge(values, parse(text, f"/config/{name}"))
        for flag, argument in _pairs(args):
            if flag in {"--set", "--set-string"}:
                set_value(values, argument, as_text=flag == "--set-string")
        return values


async def _files(api: Api, pod: Object) -> list[tuple[str, str]]:
    """Return the values files of the job's projected volume in the order helm reads them."""
    found: list[tuple[str, str]] = []
    for volume in pod["spec"]["volumes"]:
        if volume["name"] != "values":
            continue
        for source in volume["projected"]["sources"]:
            reference = source["secret"]
            secret = await api.find("Secret", pod["metadata"]["namespace"], reference["name"])
            data = (secret or {}).get("data", {})
            found += [
                (item["path"], base64.b64decode(data[item["key"]]).decode())
                for item in reference["items"]
                if item["key"] in data
            ]
    return sorted(found)


def _environment(spec: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in spec["env"]}


def _pairs(args: list[str]) -> Iterator[tuple[str, str]]:
    rest = [arg for arg in args[1:] if arg not in _FLAGS]
    return zip(rest[::2], rest[1::2], strict=True)
