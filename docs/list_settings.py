"""Writes configuration.md, the reference of all settings of a server, from the code that reads them.

python docs/list_settings.py            write the page
python docs/list_settings.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import typer.main
from generated import NOTE, cell, code, keep

from dovetail.serve.cli import app
from dovetail.serve.config import ENVIRONMENT_PREFIX, Setting, option_of, settings

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Model": ("model", "model_name", "model_alias", "any_model_name", "add_model", "idle_unload", "lora", "lora_folder",
              "embeddings", "quantize", "dtype", "max_model_len"),
    "Network": ("host", "port", "tls_cert", "tls_key", "tls_client_ca", "cors_origin", "max_body_bytes", "docs"),
    "Access": ("keys", "access", "admin"),
    "Answers": ("max_output_tokens", "policy", "acceptable_use", "no_carriers", "keep_billing_header", "store"),
    "Engine": ("engine", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "engine_arg", "device", "threads", "max_num_seqs", "max_waiting", "max_batched_tokens", "max_draft", "block_size",
               "deterministic", "no_graphs", "drain_seconds"),
    "Memory": ("kv_cache_memory", "kv_cache_dtype", "kv_offload_memory", "kv_offload_disk", "kv_offload_disk_size"),
    "Audit log": ("audit", "audit_name", "audit_anchor", "audit_keys", "audit_fsync", "audit_full", "audit_text",
                  "audit_period", "audit_retention_days", "audit_seal"),
    "Evidence and observation": ("require_signature", "card", "card_key", "otlp", "log_level", "log_format"),
}  # fmt: skip
"""What is read together. A setting that stands nowhere here comes last, under "More"."""

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


def section(title: str, known: list[Setting], meanings: Mapping[str, str]) -> str:
    """One table."""
    rows = [f"\n## {title}\n\n| setting | option, variable | value | default | meaning |\n|---|---|---|---|---|\n"]
    for each in known:
        names = f"{code(option_of(each.name))}<br>{code(ENVIRONMENT_PREFIX + each.name.upper())}"
        meaning = meanings.get(each.name, "")
        rows.append(f"| {code(each.name)} | {names} | {value(each)} | {default(each)} | {cell(meaning)} |\n")
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
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    meanings = {each.name: each.help for each in serve.params}
    known = {each.name: each for each in settings()}
    groups = {title: [known.pop(name) for name in names if name in known] for title, names in GROUPS.items()}
    if known:
        groups["More"] = list(known.values())
    tables = [section(title, members, meanings) for title, members in groups.items()]
    return HEAD.format(note=NOTE.format(script="list_settings.py")) + "".join(tables) + TAIL


if __name__ == "__main__":
    sys.exit(keep("configuration.md", text()))
