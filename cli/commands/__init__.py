"""What the commands take: one module each, with a function `command` whose docstring is the help."""
