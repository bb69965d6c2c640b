"""The shell of a node: it owns the sockets, tasks, timers and threads around the cores."""
