"""``receptorctl``, the command-line tool.

``main``            the program: its own options, exit codes, errors on one line
``settings``        what those options say about the node to talk to
``node_verbs``      status, ping, traceroute, reload, version, connect; ``missing_nodes``: when nobody answers
``mesh_verbs``      nodes, services, routes
``mesh_view``       the mesh as a node sees it, pure; ``mesh_tables`` shows it
``status_tables``   the tables of status off a terminal
``events_verb``     events; ``event_lines``: what they look like
``doctor``          a package: what is wrong, and what to do about it
``top``             a package: units, nodes and links, live on the whole screen
``work_verbs``      work list, status, results, cancel, release, force-release
``submit_verb``     work submit
``following``       results on their way to standard output
``bridging``        the terminal on one side, a service on the other
``parameters``      arguments and options that several verbs share
``unit_details``    what a node tells of a unit; ``state_colours``
``meant``           the names that people meant
``terminal``        everything that is printed; ``tables``, ``moments``, ``sizes``, ``plain_text`` make it readable

It is started by scripts thousands of times, so what only some commands need (sockets, TLS, YAML) is imported
by those commands when they run.
"""
