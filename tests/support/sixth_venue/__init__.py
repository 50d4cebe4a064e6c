"""A venue that lives outside ``libs/venues``: one folder, and one line that adds it to the catalogue."""
