"""The part of crictl that the tests use, over gRPC to containerd's own socket.

Requests are encoded by hand: two small messages are no reason for a protobuf compiler.
"""

import base64
import os
import sys
import time
from collections.abc import Iterator

import grpc

_DEFAULT = "unix:///run/containerd/containerd.sock"
SOCKET = os.environ.get("CONTAINER_RUNTIME_ENDPOINT", _DEFAULT).removeprefix("unix://")


def main(arguments: list[str]) -> int:
    """Run `crictl pull IMAGE`, `crictl version` or `crictl info`."""
    command, *rest = arguments or ["help"]
    try:
        if command == "pull" and len(rest) == 1:
            return pull(rest[0], os.environ.get("CRICTL_AUTH", ""))
        if command == "version":
            return version()
        if command == "images":
            return images()
    except grpc.RpcError as error:
        code = "".join(word.capitalize() for word in error.code().name.split("_"))
        words = f"rpc error: code = {code} desc = {error.details()}"
        sys.stderr.write(f'E{time.strftime("%m%d %H:%M:%S")} "PullImage failed" err="{words}"\n')
        sys.stderr.write(
            f'time="{time.strftime("%FT%TZ", time.gmtime())}" level=fatal msg="{words}"\n'
        )
        return 1
    sys.stderr.write(f"crictl: the stand-in does not know {' '.join(arguments)!r}\n")
    return 2


def pull(image: str, login: str) -> int:
    """Pull an image as the kubelet would, with `user:password` in base64 where there is one."""
    request = _text(1, _text(1, image.encode()))
    if login:
        user, _, password = base64.b64decode(login).decode().partition(":")
        request += _text(2, _text(1, user.encode()) + _text(2, password.encode()))
    answer = call("ImageService/PullImage", request, 600)
    sys.stdout.write(f"Image is up to date for {answer[1][0].decode()}\n")
    return 0


def version() -> int:
    """Print what `crictl version` prints."""
    answer = call("RuntimeService/Version", _text(1, b"v1"), 5)
    names = ("Version", "RuntimeName", "RuntimeVersion", "RuntimeApiVersion")
    for number, name in enumerate(names, 1):
        sys.stdout.write(f"{name}:  {answer[number][0].decode()}\n")
    return 0


def images() -> int:
    """Print the name of each image, one a line."""
    answer = call("ImageService/ListImages", b"", 5)
    for image in answer.get(1, []):
        for name in dict(_fields(image)).get(2, b"").split(b"\n"):
            sys.stdout.write(name.decode() + "\n")
    return 0


def call(method: str, request: bytes, timeout: float) -> dict[int, list[bytes]]:
    """Call a method of the CRI and return the answer's fields by number; raises grpc.RpcError."""
    with grpc.insecure_channel(f"unix://{SOCKET}") as channel:
        answer = channel.unary_unary(f"/runtime.v1.{method}")(request, timeout=timeout)
    found: dict[int, list[bytes]] = {}
    for number, value in _fields(answer):
        found.setdefault(number, []).append(value)
    return found


def _text(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(message):
        key, position = _number(message, position)
        value, position = _number(message, position)
        if key & 7 == 2:
            yield key >> 3, message[position : position + value]
            position += value


def _number(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
