"""TLS as the configuration names it: certificates and keys, whom to trust, and the checks that follow from it."""
