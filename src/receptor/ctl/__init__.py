"""``receptorctl``, the command-line tool.

``main``            the program: its own options, the verbs under their headings, errors on one line
``program``         what it adds to click; ``pages`` lays out help; ``meant mistakes refusals``: what one meant
``settings``        what those options (``connection_options``) say about the node to talk to
``finding``         the node on this machine, where nobody says which; ``contexts``: names for nodes
``node_verbs``      status, ping, traceroute, reload, version, connect
``status_tables``   the tables of status
``work_verbs``      work list, status, results, cancel, release, force-release
``submit_verb``     work submit
``following``       results on their way to standard output
``bridging``        the terminal on one side, a service on the other
``context_verbs``   context list, show, set, use, remove
``completion_verb`` completion; ``completing`` answers the scripts in ``shells``, ``live_names`` asks the node
``parameters``      arguments and options that several verbs share
``terminal``        everything that is printed; ``tables``, ``moments``, ``plain_text`` make it readable

It is started by scripts thousands of times, so what only some commands need (sockets, TLS, YAML) is imported
by those commands when they run.
"""
