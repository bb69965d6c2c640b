"""What joins this machine to the mesh: proxies for sockets and datagrams, and commands on terminals."""
