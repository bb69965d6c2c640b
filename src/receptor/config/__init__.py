"""Configuration: a YAML file or the words of the command line become one checked, frozen value.

    file (files) ─────────────┐
                              ├─> actions as written (written) ─> typed actions (actions, kinds)
    words (command_line) ─────┘                                    ─> the checked whole (configuration)

What may be written is said once, in ``actions``; reading, error messages and ``--help`` all come from there.
"""
