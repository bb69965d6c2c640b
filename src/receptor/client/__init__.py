"""A small synchronous client of the control protocol.

``address``        where a control service listens, parsed from text
``tls_settings``   how to trust it and to show who we are, where it listens with TLS
``tls_stream``     TLS with half-close
``connection``     one greeted connection: lines, bytes, time limits, errors for people
``control_client`` the commands: ``ControlClient``, and ``Upload`` for the payload of a unit
``replies``        frozen records of what a node answers

Nothing is imported here, so that a program pays only for the parts that it uses.
"""
