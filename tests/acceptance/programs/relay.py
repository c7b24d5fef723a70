"""The API server's place inside K3s: port 6443, there while K3s runs."""

import socket
import threading


class Relay:
    """Passes connections to port 6443 on to the API server; gone when this process is gone."""

    def __init__(self, target: list) -> None:
        """Listen at once, so that a taken port is an error now."""
        self._target = tuple(target)
        self._listener = socket.create_server(("0.0.0.0", 6443))

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()
