"""``make chaos``: real nodes run hundreds of units of work while all that they lean on is killed, stopped and cut.

Three nodes form a ring: foo, where clients submit, bar, where commands run, and hub, the way round when the link
between the two is down. Every link goes through a relay of ours. Meanwhile daemons are killed, restarted and stopped,
so are the runners of commands, and links break after any byte, stall or refuse. Then all is left in peace, every unit
must come to the end that its number and the seed foretell, and nothing may be left once all are released.

``worker``   what a unit does, from the seed and its number: what both the command and the judge know
``links``    the relays
``nodes``    the daemons and runners as processes
``torment``  what is done to them, at random
``clients``  those who submit, follow, cancel and release
``facts``    what nodes, disk and ledger say in the end, and what is left over
``verdict``  whether that is what must be: pure functions
``run``      one run from its beginning to its table

It needs Linux: processes are found in /proc.
"""
