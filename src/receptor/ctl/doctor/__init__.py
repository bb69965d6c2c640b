"""``receptorctl doctor``: what may be wrong with a node and its mesh, and what to do about it.

``verb``               the command and what it prints
``examination``        gathers the facts: files, connections, answers of nodes
``facts``              what is known of them
``diagnosis``          from facts to findings, by the checks in ``access_checks``, ``node_checks``, ``mesh_checks`` and
                       ``work_checks``; pure
``findings``           what one check has come to
"""
