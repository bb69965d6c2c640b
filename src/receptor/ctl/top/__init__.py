"""``receptorctl top``: a live view of nodes, links and units that fills the screen.

``verb``       the command; the only one that pays for the import of textual
``app``        the screen as a whole: tabs, keys, what is done with units
``dialogs``    what comes over it: a question, the output of a unit, the keys
``rows_view``  a table of thousands of rows, of which only those are drawn that are seen
``views``      what the tables show, sorted and filtered; pure
``feed``       asks the node again and again, in threads of its own
"""
