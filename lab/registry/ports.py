"""A loopback port that is ours before anything listens on it."""

import socket


class ReservedPort:
    """Holds a free port: connections are refused until a server with `reuse_port` listens."""

    def __init__(self, port: int = 0) -> None:
        """Take `port`, or any free one when it is 0; raises OSError when it is taken."""
        self._holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._holder.bind(("127.0.0.1", port))
        except OSError:
            self._holder.close()
            raise
        self.number: int = self._holder.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        self._holder.close()
