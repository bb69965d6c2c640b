"""``receptorctl``, the command-line tool.

``main``            the program: its own options, the verbs under their headings, errors on one line
``program``         what it adds to click; ``pages`` lays out help; ``meant mistakes hints``: what one meant
``settings``        what those options (``connection_options``) say about the node to talk to
``finding``         the node on this machine, where nobody says which; ``contexts``: names for nodes
``node_verbs``      status, ping, traceroute, reload, version, connect
``mesh_verbs``      nodes, services, routes
``mesh_view``       the mesh as a node sees it, pure; ``mesh_tables`` shows it
``status_tables``   the tables of status off a terminal
``events_verb``     events; ``event_lines``: what they look like
``doctor``          a package: what is wrong, and what to do about it
``top``             a package: units, nodes and links, live on the whole screen
``work_verbs``      the group ``work``, whose verbs are in
                    ``look_verbs`` list, status; ``output_verbs`` results, logs; ``wait_verb``; ``prune_verb``;
                    ``ending_verbs`` cancel, release, force-release; ``submit_verb``
``unit_ids``        which unit is meant by the beginning of its id
``unit_tables``     units as people read them; ``state_cells``
``submitting``      a submission from its payload (``payloads``, ``env_file``) to its end
``following``       output on its way to standard output; ``tail`` where its last lines begin
``waiting``         waiting for units; ``outage`` bears with a node that is away, ``time_limit`` ends a wait
``pruning``         which units prune takes; ``node_time`` tells by which clock
``bridging``        the terminal on one side, a service on the other
``context_verbs``   context list, show, set, use, remove
``completion_verb`` completion; ``completing`` answers the scripts in ``shells``, ``live_names`` asks the node
``parameters``      arguments and options that several verbs share; ``work_options`` those of units
``terminal``        everything that is printed; ``tables``, ``moments``, ``sizes``, ``plain_text`` make it readable
``live_line``       progress bars and spinners

It is started by scripts thousands of times, so what only some commands need (sockets, TLS, YAML) is imported
by those commands when they run.
"""
