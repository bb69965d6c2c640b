"""What a node needs of systemd: its service, its user and its folders. ``receptor systemd`` writes it."""
