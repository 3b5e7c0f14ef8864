"""What a folder of manifests asks for, round by round, and what is wrong in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Final

from audit_operator.local.folder_plan import Asked, asked, names_by_path
from audit_operator.local.manifests import FolderUnreadable, ManifestFolder, Reading
from audit_operator.local.notices import Notices

ABSENT_ROUNDS: Final = 3
"""Editors replace a file by taking it away for a moment, so a tenant is gone only after as many looks without it."""


class FolderWatch:
    """Look at a folder again and again. Who is `absent` for several rounds in a row is `gone`."""

    def __init__(self, folder: ManifestFolder, notices: Notices) -> None:
        self._folder = folder
        self._notices = notices
        self._last_read: dict[str, Collection[str]] = {}
        self._absent: Counter[str] = Counter()
        self._told: set[str] = set()

    async def look(self, live: Collection[str]) -> Asked | None:
        """Return what is asked for, given the names of live tenants; None when the folder cannot be read."""
        place = str(self._folder.folder)
        try:
            reading = await asyncio.to_thread(self._folder.read)
        except FolderUnreadable as unreadable:
            self._notices.wrong(place, f"{unreadable}; tenants stay as they are")
            return None
        self._notices.well(place)
        wanted = asked(reading, live=live, last_read=self._last_read)
        self._remember(reading)
        self._tell(wanted, {manifest.path for manifest in reading.manifests})
        self._absent = Counter({name: self._absent[name] + 1 for name in wanted.absent})
        return wanted

    def gone(self) -> list[str]:
        """Return the tenants that nobody has asked for long enough."""
        return sorted(name for name, rounds in self._absent.items() if rounds >= ABSENT_ROUNDS)

    def _remember(self, reading: Reading) -> None:
        """Keep who was last read from each file; one that cannot be read goes on speaking for them."""
        now = names_by_path(reading)
        unread = {broken.path for broken in reading.broken if broken.name is None}
        kept = {path: names for path, names in self._last_read.items() if path in unread}
        self._last_read = {**kept, **now}

    def _tell(self, wanted: Asked, sound: set[str]) -> None:
        broken = {each.path: each for each in wanted.broken}
        for path, each in broken.items():
            stays = f" (tenant {each.name} stays as it is)" if each.name else ""
            self._notices.wrong(path, f"{each.reason}{stays}")
        for path in self._told - broken.keys():
            self._notices.well(path, is_there=path in sound)
        self._told = set(broken)
