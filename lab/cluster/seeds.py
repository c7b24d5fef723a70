"""What every K3s cluster has from the start."""

from lab.cluster.kinds import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def namespace(name: str) -> Object:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def local_path() -> Object:
    """Return K3s' default storage class."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "local-path",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "rancher.io/local-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def kubernetes_service(address: str) -> Object:
    """Return the Service of the API itself."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }


def kubernetes_endpoints(servers: list[str]) -> Object:
    """Return where the API's Service leads: to K3s on the servers' own addresses."""
    subset = {
        "addresses": [{"ip": address} for address in servers],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "subsets": [subset],
    }


def cluster_admin() -> Object:
    """Return the role that helm jobs are bound to."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "cluster-admin"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
