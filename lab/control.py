"""The lab's remote control: a small HTTP server on loopback.

GET    /state                 what runs, site by site
POST   /faults                a JSON list of faults (lab/faults.py) to switch on
DELETE /faults                switch all faults off
POST   /sites/NAME/offline    cut a site's link (and /online: mend it)
POST   /sites/NAME/nodes/NODE/reboot    cut the power of a host for a moment
DELETE /round-trips           count every node's SSH round trips anew
POST   /clock                 {"days": n} or {"seconds": n}: move the lab's clock ahead
POST   /stop                  end the lab
"""

from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any, Protocol

from aiohttp import web

from lab.clock import Clock
from lab.faults import Fault, Faults

_CLOCK_USAGE = 'say {"days": n} or {"seconds": n} with a number that is not negative'


class Controlled(Protocol):
    """What the remote control needs of a world."""

    faults: Faults
    clock: Clock

    @property
    def state(self) -> dict[str, Any]:
        """Return what runs."""

    def clear_faults(self) -> None:
        """Switch off every fault that somebody ordered."""

    async def set_offline(self, site: str, offline: bool) -> None:
        """Cut or mend a site's link; raises KeyError for a site that is not there."""

    async def reboot(self, site: str, node: str) -> None:
        """Reboot a host; raises KeyError for one that is not there."""

    def reset_round_trips(self) -> None:
        """Count round trips anew."""


class Control:
    """Serves the remote control of one world."""

    def __init__(self, world: Controlled, stop: Callable[[], None]) -> None:
        """Control `world`; `stop` is called for POST /stop."""
        self._world = world
        self._stop = stop
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Listen on loopback."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/state", self._show),
                web.post("/faults", self._add_faults),
                web.delete("/faults", self._clear_faults),
                web.post("/sites/{site}/offline", self._cut),
                web.post("/sites/{site}/online", self._mend),
                web.post("/sites/{site}/nodes/{node}/reboot", self._reboot),
                web.delete("/round-trips", self._reset_round_trips),
                web.post("/clock", self._jump),
                web.post("/stop", self._end),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        faults = [asdict(fault) for fault in self._world.faults.active]
        now = self._world.clock.now().isoformat()
        return web.json_response({**self._world.state, "faults": faults, "clock": now})

    async def _add_faults(self, request: web.Request) -> web.Response:
        entries = await _body(request, list)
        known = {field.name for field in fields(Fault)}
        for entry in entries:
            unknown = set(entry) - known if isinstance(entry, dict) else {"(not an object)"}
            if unknown or not {"part", "kind"} <= set(entry):
                wrong = f"a fault has part and kind and may have {sorted(known)}; got {entry}"
                raise web.HTTPBadRequest(text=wrong)
        for entry in entries:
            self._world.faults.add(**entry)
        return await self._show(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._world.clear_faults()
        return await self._show(request)

    async def _cut(self, request: web.Request) -> web.Response:
        return await self._set_offline(request, True)

    async def _mend(self, request: web.Request) -> web.Response:
        return await self._set_offline(request, False)

    async def _set_offline(self, request: web.Request, offline: bool) -> web.Response:
        site = request.match_info["site"]
        try:
            await self._world.set_offline(site, offline)
        except KeyError as error:
            raise web.HTTPNotFound(text=f"there is no site {site}") from error
        return await self._show(request)

    async def _reboot(self, request: web.Request) -> web.Response:
        site, node = request.match_info["site"], request.match_info["node"]
        try:
            await self._world.reboot(site, node)
        except KeyError as error:
            raise web.HTTPNotFound(text=f"there is no node {node} at a site {site}") from error
        return await self._show(request)

    async def _reset_round_trips(self, request: web.Request) -> web.Response:
        self._world.reset_round_trips()
        return await self._show(request)

    async def _jump(self, request: web.Request) -> web.Response:
        asked = await _body(request, dict)
        days, seconds = asked.get("days", 0), asked.get("seconds", 0)
        wrong = any(not isinstance(value, int | float) or value < 0 for value in (days, seconds))
        if wrong or not asked.keys() & {"days", "seconds"}:
            raise web.HTTPBadRequest(text=_CLOCK_USAGE)
        self._world.clock.jump(timedelta(days=days, seconds=seconds))
        return await self._show(request)

    async def _end(self, request: web.Request) -> web.Response:
        self._stop()
        return web.json_response({"stopping": True})


async def _body(request: web.Request, kind: type) -> Any:
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    if not isinstance(body, kind):
        raise web.HTTPBadRequest(text=f"the body is not a JSON {kind.__name__}")
    return body
