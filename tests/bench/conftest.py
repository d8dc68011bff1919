"""Nothing in here is a test: these are programs that measure, run by ``make bench``."""

from __future__ import annotations

collect_ignore_glob = ["*.py"]
