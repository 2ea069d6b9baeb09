"""The commands of the command line: a module each, imported when its command is run."""
