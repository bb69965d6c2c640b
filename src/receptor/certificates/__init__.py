"""Certificates of nodes: the names in them; authorities, requests and certificates; their files."""

SMALLEST_KEY = 2048
"""Bits of the smallest RSA key that is made or accepted: TLS libraries refuse smaller ones."""

LONGEST_COMMON_NAME = 64
"""Characters (RFC 5280, appendix A.1: ub-common-name)."""
