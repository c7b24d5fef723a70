"""The kubeconfig that K3s writes on its servers."""

import base64
import weakref

import yaml

from lab.certificates import Authority

_admins: "weakref.WeakKeyDictionary[Authority, tuple[bytes, bytes]]" = weakref.WeakKeyDictionary()


def render(authority: Authority, server: str) -> str:
    """Return a kubeconfig for `server` with the administrator's certificate inside."""
    credentials = _admins.get(authority)
    if credentials is None:
        credentials = authority.issue("system:admin", organization="system:masters")
        _admins[authority] = credentials
    certificate, key = (base64.b64encode(part).decode() for part in credentials)
    cluster = {
        "certificate-authority-data": base64.b64encode(authority.pem).decode(),
        "server": server,
    }
    user = {"client-certificate-data": certificate, "client-key-data": key}
    document = {
        "apiVersion": "v1",
        "clusters": [{"cluster": cluster, "name": "default"}],
        "contexts": [{"context": {"cluster": "default", "user": "default"}, "name": "default"}],
        "current-context": "default",
        "kind": "Config",
        "preferences": {},
        "users": [{"name": "default", "user": user}],
    }
    return yaml.safe_dump(document)
