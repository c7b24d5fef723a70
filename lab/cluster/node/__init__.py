"""What K3s runs on each node: a stand-in for the kubelet, and the programs in its pods."""
