"""Changes of settings while machines run: what may be changed, and how a machine applies and takes back a change."""
