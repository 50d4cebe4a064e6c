"""The key to a Manifold account."""

from msgspec import Struct


class ManifoldCredentials(Struct, frozen=True):
    """An API key, sent as ``Authorization: Key …``."""

    api_key: str

    def __repr__(self) -> str:
        return "ManifoldCredentials(hidden)"

    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"authorization": f"Key {self.api_key}"}
