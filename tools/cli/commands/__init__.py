"""The commands, each with what it does; ``tools/cli/app.py`` has the list."""
