"""From a kubeconfig to the official client, with its keys on disk for a moment only.

TLS libraries read keys from files. They are written to a private folder, in memory where the system
offers it, read into a TLS context and removed at once: a run that is killed later leaves nothing.
"""

import binascii
import os
import ssl
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config_from_dict
from kubernetes.config.config_exception import ConfigException
from urllib3.util.ssl_ import create_urllib3_context

from fleet.cluster_errors import KubeconfigError
from fleet.kubeconfig import through_port

# One more try where the connection broke, and where the same request twice is the same as once: an
# idle connection may be gone without our knowing. Everything else is the task's to repeat.
_RETRIES = urllib3.Retry(
    1,
    backoff_factor=0.2,
    allowed_methods={"GET", "PATCH", "DELETE"},
    respect_retry_after_header=False,
)
_KEY_FIELDS = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key"),
}
_FILE_SETTINGS = ("ca_certs", "ca_cert_data", "cert_file", "key_file")


def open_api_client(config: dict[str, Any], local_port: int | None) -> ApiClient:
    """Return a client for a parsed kubeconfig, through a local port where one is given.

    Raises:
        KubeconfigError: Its keys or files cannot be used.
    """
    direct = local_port is None
    settings = Configuration(proxy=None if direct else "", retries=_RETRIES)
    wanted = config if local_port is None else through_port(config, local_port)
    with tempfile.TemporaryDirectory(prefix="acrfleet-", dir=_memory_folder()) as folder:
        try:
            load_kube_config_from_dict(  # type: ignore[no-untyped-call]  # untyped in the client
                _with_key_files(wanted, Path(folder)),
                client_configuration=settings,
                persist_config=False,
            )
            context = _tls_context(settings)
        except (ConfigException, binascii.Error, OSError) as error:
            raise KubeconfigError(f"its keys cannot be read: {error}") from None
    settings.connection_pool_maxsize = 2
    client = ApiClient(settings)
    pool = client.rest_client.pool_manager.connection_pool_kw
    for name in _FILE_SETTINGS:
        pool.pop(name, None)
    pool["ssl_context"] = context
    return client


def _tls_context(settings: Configuration) -> ssl.SSLContext:
    context = create_urllib3_context()
    # Python 3.13 wants extensions in certificates that authorities of older clusters leave out;
    # chain, dates and name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.ssl_ca_cert:
        context.load_verify_locations(settings.ssl_ca_cert)
    else:
        context.load_default_certs()
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _with_key_files(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    for section, fields in _KEY_FIELDS.items():
        holder = config[section][0][section[:-1]]
        for field in fields:
            data = holder.pop(f"{field}-data", None)
            if data:
                path = folder / field
                with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                    file.write(b64decode(data))
                holder[field] = str(path)
    return config


def _memory_folder() -> str | None:
    folder = Path("/dev/shm")  # noqa: S108 - memory, and the folder made in it is private
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None
