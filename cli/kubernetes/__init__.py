"""The cluster: what ``k8s`` does with it, and how ``cash -e kube`` finds the gateway there."""
