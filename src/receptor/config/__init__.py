"""Configuration: a YAML file or the words of the command line become one checked, frozen value.

    file (files, list_form, map_form) ──┐
                                        ├─> actions as written (written) ─> typed actions (actions, kinds)
    words (command_line) ───────────────┘                                    ─> the checked whole (configuration)

What may be written is said once, in ``actions``; reading, error messages, ``--help`` and the JSON schema for editors
all come from there.
"""
