"""Units of work that run in the pods of a Kubernetes cluster."""
