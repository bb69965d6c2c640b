"""``receptorctl``, the command-line tool.

``main``            the program: its own options, exit codes, errors on one line
``settings``        what those options say about the node to talk to
``node_verbs``      status, ping, traceroute, reload, version, connect
``status_tables``   the tables of status
``work_verbs``      work list, status, results, cancel, release, force-release
``submit_verb``     work submit
``following``       results on their way to standard output
``bridging``        the terminal on one side, a service on the other
``parameters``      arguments and options that several verbs share
``terminal``        everything that is printed; ``tables``, ``moments``, ``plain_text`` make it readable

It is started by scripts thousands of times, so what only some commands need (sockets, TLS, YAML) is imported
by those commands when they run.
"""
