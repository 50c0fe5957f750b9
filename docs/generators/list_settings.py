"""Writes configuration.md, the reference of all settings of a server, from the code that reads them.

python docs/generators/list_settings.py            write the page
python docs/generators/list_settings.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from operator import attrgetter

from generated import NOTE, cell, code, keep

from dovetail.serve.config.server import SETTINGS
from dovetail.serve.config.settings import Setting, option_of
from dovetail.serve.config.sources import ENVIRONMENT_PREFIX

HEAD = """# Configuration

{note}
Every setting of `dovetail serve`. Each can be given in three ways:

- an option: `--max-model-len 16384`;
- an environment variable: `DOVETAIL_MAX_MODEL_LEN=16384`;
- a line of a TOML file that `--config FILE` or `DOVETAIL_CONFIG` names: `max_model_len = 16384`.

Options win over variables, variables over the file, the file over the defaults. Unknown names are refused, with the nearest
known one. `dovetail doctor --config FILE` reads a file and says what would keep the server from starting with it.

<!-- loads: config -->
```toml
model_name = "coder"
max_model_len = 16384
kv_cache_memory = "4GiB"
model_alias = ["claude-*", "gpt-*"]
deterministic = true
```

How values are written: a *size* is bytes, or a number with `KiB`, `MiB`, `GiB` (powers of 1024) or `KB`, `MB`, `GB` (of 1000); a
*list* is a TOML list, or words with commas between in a variable, or the option given several times; *true or false* is an option
without a value, and `true`, `1`, `yes`, `on` or their opposites in a variable.
"""

TAIL = """
## Other variables

| variable | |
|---|---|
| `DOVETAIL_CONFIG` | the TOML file to read |
| `DOVETAIL_SERVER` | the server that `dovetail edit`, `agent`, `eval` and `mcp` talk to |
| `DOVETAIL_API_KEY` | the key that they send |
| `DOVETAIL_MCP_TOKEN` | the token of `dovetail mcp --http` |
| `XDG_CACHE_HOME`, `XDG_STATE_HOME` | where indexes, and runs, evaluations and cards are kept |
| `HF_HOME`, `HF_HUB_CACHE` | where `dovetail models` looks for model directories |
| `PGUSER`, `PGPASSWORD` | for `--keys postgresql://...` |
| `OTEL_...` | as OpenTelemetry defines them, with `--otlp` |

## Other files

| file | says | named by |
|---|---|---|
| access file | groups, quotas, identity providers: [access.md](access.md#the-access-file) | `--access` |
| policy | which edits may be made: [policy.md](policy.md#keys) | `--policy` |
| acceptable use | which requests are declined: [acceptable-use.md](acceptable-use.md#a-policy-of-your-own) | `--acceptable-use` |
| `dovetail.toml` in a repository | layers, contexts, protected paths, for the agent: [agent.md](agent.md#layers-and-contexts) | its place |
"""


def section(title: str, known: Iterable[Setting]) -> str:
    """One table."""
    rows = [f"\n## {title}\n\n| setting | option, variable | value | default | meaning |\n|---|---|---|---|---|\n"]
    for each in known:
        names = f"{code(option_of(each.name))}<br>{code(ENVIRONMENT_PREFIX + each.name.upper())}"
        rows.append(f"| {code(each.name)} | {names} | {value(each)} | {default(each)} | {cell(each.meaning)} |\n")
    return "".join(rows)


def value(setting: Setting) -> str:
    """What may be written."""
    if setting.choices:
        return ", ".join(code(choice) for choice in setting.choices)
    low, high = setting.bounds or (None, None)
    return setting.kind if low is None else f"{setting.kind}, {low:,} to {high:,}"


def default(setting: Setting) -> str:
    """What holds where nothing is said."""
    if setting.default in (None, ()):
        return ""
    if setting.kind == "true or false":
        return "false"
    if setting.kind == "size" and setting.default and setting.default % 2**20 == 0:
        return code(f"{setting.default // 2**20}MiB")
    return code(setting.default)


def text() -> str:
    """The page."""
    groups = itertools.groupby(SETTINGS, key=attrgetter("group"))
    tables = [section(title, members) for title, members in groups]
    return HEAD.format(note=NOTE.format(script="list_settings.py")) + "".join(tables) + TAIL


if __name__ == "__main__":
    sys.exit(keep("configuration.md", text()))
