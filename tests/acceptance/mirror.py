"""A site's registry without a chart: for scenarios that are about hosts alone."""

import ssl
from pathlib import Path

from tests.acceptance.distribution import Distribution

ADDRESS, PORT = "10.43.250.1", 80
LOGIN = "reader:correct-horse"
_ACTIONS = frozenset({"repositories/*/content/read", "repositories/*/metadata/read"})


class Mirror:
    """A registry on a Service's address that has images from the start; `login` may pull them.

    Attributes:
        distribution: The registry; its `log` has a line per request, and it can be stopped and
            started again.
    """

    def __init__(self, folder: Path, address: str = ADDRESS, port: int = PORT) -> None:
        """Plan it."""
        self.address, self.port, self.login = address, port, LOGIN
        self.distribution = Distribution(folder, self._log_in)

    async def start(
        self,
        source: str,
        login: str,
        ca_folder: Path,
        names: list[str],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Serve, with a TLS context by https, and copy the images from the cloud."""
        await self.distribution.start(self.address, self.port, context)
        for name in names:
            await self.distribution.copy_from(source, login, ca_folder, name)
        self.distribution.log.clear()

    @property
    def host(self) -> str:
        """Return how images are named on it."""
        return self.address

    def _log_in(self, user: str, password: str) -> frozenset[str] | None:
        return _ACTIONS if f"{user}:{password}" == self.login else None
