"""Certificates of nodes: the names in them, making authorities, requests and certificates, and their files."""
