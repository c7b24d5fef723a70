"""A Kubernetes API on loopback, with the controllers that make a HelmChart come to life."""

from lab.cluster.cluster_lab import ClusterLab, HelmController

__all__ = ["ClusterLab", "HelmController"]
