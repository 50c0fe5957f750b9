"""One chain in the files of a folder: its lock, its segments, its anchor. Knows lines; not what records are about."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.anchor import Anchor, Seal, require_anchored, write_anchor
from dovetail.serve.govern.audit.chain import Link
from dovetail.serve.govern.audit.segment import Segment, lock, mend
from dovetail.serve.govern.audit.settings import AuditSettings


class FileChain:
    """``link``: where the chain stands. Raises ConfigError where it cannot be opened, or is not what its anchor says."""

    at_once = 1
    idle_s: float | None = None

    def __init__(self, settings: AuditSettings, seal: Seal | None) -> None:
        self._settings = settings
        self._seal = seal
        self._segment: Segment | None = None
        self._lock = lock(settings)
        try:
            self.found = mend(settings)
            self.link = self.found.link
            require_anchored(settings.anchor_file, settings.name, seal, self.link, str(settings.folder))
            # From here on the log is open: what is found behind this anchor after a crash was written by this server.
            self._anchor(closed=False)
        except ConfigError:
            self._lock.close()
            raise
        except OSError as error:
            self._lock.close()
            raise ConfigError(f"The audit log cannot be opened: {error}.", param="audit") from error

    def turn_to(self, period: str) -> None:
        """Go on in the segment of ``period``. Raises OSError."""
        segments = self._settings.segments()
        if self._segment is None and segments and segments[-1].stem.endswith(f"-{period}"):
            path = segments[-1]
        else:
            path = self._settings.files / f"{self._settings.name}-{len(segments) + 1:06}-{period}.jsonl"
        fresh = Segment(path)
        if self._segment is not None:
            self._segment.sync()
            self._segment.close()
        self._segment = fresh

    def settle(self) -> None:
        """A file tells at once whether it was written."""

    def write(self, lines: Sequence[bytes], times: Sequence[float], link: Link) -> None:
        """Append lines, after which the chain stands at ``link``; or nothing of them. Raises OSError."""
        assert self._segment is not None
        self._segment.append(b"".join(lines))
        self.link = link

    def sync(self) -> None:
        """Wait until all is on the disk, and anchor it. Raises OSError."""
        if self._segment is not None and self._settings.fsync != "never":
            self._segment.sync()
        self._anchor(closed=False)

    def finish(self) -> None:
        """The writer's last word: nothing comes after this record."""
        if self._segment is None:
            return
        with contextlib.suppress(OSError):
            if self._settings.fsync != "never":
                self._segment.sync()
            self._anchor(closed=True)
        self._segment.close()

    def release(self) -> None:
        """Let another writer in."""
        self._lock.close()

    def _anchor(self, *, closed: bool) -> None:
        anchor = Anchor.now(self._settings.name, self.link, closed=closed)
        write_anchor(self._settings.anchor_file, anchor, self._seal, durable=self._settings.fsync != "never")
