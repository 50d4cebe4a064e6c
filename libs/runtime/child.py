"""What the supervisor tells a service's process through its environment."""

RESTARTS_VARIABLE = "PRESAGE_RESTARTS"
"""How often the supervisor has restarted this service, told to the new process."""
STATUS_VARIABLE = "PRESAGE_STATUS_SOCKET"
"""Descriptor of the listening socket for the status endpoints, opened by the supervisor and inherited."""
