"""What can be wrong with a configuration. Every message names file, line and key, never a value refused as secret.

::

    ConfigError (ValueError)
    ├── MissingFileError     a section has no file
    ├── DocumentError        not YAML, too large, not a mapping, a key twice
    ├── UnknownKeyError      no such parameter
    ├── RefusedValueError    a value of the wrong type, form or size
    ├── SecretError          something that must not stand in a configuration
    └── OverrideError        the text of a ``--set`` is not PATH=VALUE, or names no section
"""


class ConfigError(ValueError):
    """The configuration cannot be used; the text says where and why."""


class MissingFileError(ConfigError):
    """A section of the configuration has no file."""


class DocumentError(ConfigError):
    """A file is not a YAML mapping of known form."""


class UnknownKeyError(ConfigError):
    """A key that no parameter has."""


class RefusedValueError(ConfigError):
    """A value of the wrong type, form or size."""


class SecretError(ConfigError):
    """A key or value that looks like a secret: configuration goes onto the tape, secrets never do."""


class OverrideError(ConfigError):
    """An override that is not ``SECTION.KEY=VALUE``."""
