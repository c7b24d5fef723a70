"""Files on this machine that the fleet file names."""

from pathlib import Path

from fleet.cluster_errors import KubeconfigError
from fleet.pull_errors import SiteAuthorityError


def read_kubeconfig_file(path: str) -> str:
    """Return a kubeconfig's text; it may hold keys, so it is never logged.

    Raises:
        KubeconfigError: The file is missing or may not be read.
    """
    try:
        return _read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"the kubeconfig {path} can't be read: {_reason(error)}") from None


def read_ca_file(path: str) -> str:
    """Return the text of a file with CA certificates.

    Raises:
        SiteAuthorityError: The file is missing or may not be read.
    """
    try:
        return _read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SiteAuthorityError(
            f"the CA file {path} can't be read: {_reason(error)}; give a PEM file as "
            "chart.tls.ca_file"
        ) from None


def _read(path: str) -> str:
    return Path(path).expanduser().read_text(encoding="utf-8-sig")


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8 text"
