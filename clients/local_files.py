"""Files on this machine that the fleet file names."""

from pathlib import Path

from fleet.errors import KubeconfigError


def read_kubeconfig_file(path: str) -> str:
    """Return a kubeconfig's text; it may hold keys, so it is never logged.

    Raises:
        KubeconfigError: The file is missing or may not be read.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise KubeconfigError(f"the kubeconfig {path} can't be read: {reason}") from None
