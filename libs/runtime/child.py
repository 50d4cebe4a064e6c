"""What the supervisor tells a service's process through its environment."""

from libs.config.environment import variable

RESTARTS_VARIABLE = variable("restarts")
"""How often the supervisor has restarted this service, told to the new process."""
STATUS_VARIABLE = variable("status_socket")
"""Descriptor of the listening socket for the status endpoints, opened by the supervisor and inherited."""
CONSOLE_VARIABLE = variable("console_socket")
"""The same of the console's socket for browsers."""
INSTANCE_VARIABLE = variable("instance")
"""Names a second process of a service beside the supervisor's; empty for that one."""
