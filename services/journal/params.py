"""Typed parameters of the archive: configuration section ``archive``."""

from typing import Annotated

from libs.config.section import Section, setting, whole

Days = Annotated[int, whole(0, 36_500)]


class ArchiveParams(Section):
    """How long the whole record is kept, beyond the window that the broker holds."""

    keep_days: Days = setting(0, "segments whose newest message is older are removed; 0 keeps them for ever")
