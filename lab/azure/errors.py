"""What the provider, ARM and the registry say when they refuse.

A code that real Azure is known to answer has its real name. Where nobody has published what Azure
answers, the code starts with `Emulated`, so that no product code can be built upon it.
"""

from typing import Any


class ArmError(Exception):
    """A refusal of the management plane, in the provider's envelope."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        """Keep the HTTP status, the code, the message and further headers."""
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The envelope as recorded from the real provider."""
        return {"error": {"code": self.code, "message": self.message}, "status": "Failed"}


class DockerError(Exception):
    """A refusal of a registry's data plane."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        """Keep the HTTP status, the distribution error code, the message and further headers."""
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The envelope of the distribution specification."""
        return {"errors": [{"code": self.code, "message": self.message}]}


class EntraError(Exception):
    """A refusal of the login service."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        """Keep the HTTP status, the OAuth error, the AADSTS number and the message."""
        super().__init__(f"AADSTS{number}: {message}")
        self.status = status
        self.error = error
        self.number = number


def not_found(name: str) -> ArmError:
    """Return the recorded answer for a resource that is not there."""
    return ArmError(404, "ResourceNotFound", f"The resource {name} could not be found.")


def refused(what: str, message: str, status: int = 400) -> ArmError:
    """Return a refusal whose real code is unknown."""
    return ArmError(status, f"Emulated{what}", message)
