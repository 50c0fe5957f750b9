"""Directories given by name on the command line: ``NAME=DIR``, with settings of their own behind colons. Reads no file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from dovetail.serve.config.settings import ConfigError, both

_NAME = re.compile(r"[^\s=:,*]{1,128}")


@dataclass(frozen=True)
class Named:
    """``options``: what follows the directory, ``key=value``, keys with underscores."""

    name: str
    path: Path
    options: Mapping[str, str]


def parse_named(text: str, param: str, options: Collection[str]) -> Named:
    """Read ``NAME=DIR:key=value:...``. Raises ConfigError; ``options``: the keys that may be there."""
    commas = re.search(r",[^\s=:,*]{1,128}=", text)
    if commas is not None:
        flag = f"--{param.replace('_', '-')}"
        raise ConfigError(
            f"{both(param)}: {text!r} names two; give the option once for each: "
            f"{flag} {text[: commas.start()]} {flag} {text[commas.start() + 1 :]}",
            param=param,
        )
    name, equals, rest = text.partition("=")
    directory, *pairs = rest.split(":")
    if not equals or not directory or not _NAME.fullmatch(name):
        raise ConfigError(f"{both(param)}: {text!r} is not NAME=DIR.", param=param)
    found: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        key = key.replace("-", "_")
        if key not in options or not value:
            allowed = ", ".join(f"{each.replace('_', '-')}=..." for each in sorted(options))
            raise ConfigError(f"{both(param)}: {pair!r} is no setting of {name}; there are: {allowed}.", param=param)
        found[key] = value
    return Named(name, Path(directory), found)
