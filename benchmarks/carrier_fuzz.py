"""Does a client's edit tool ever get a call that quotes text which is not in the file? A babbling model, the real engine.

A model with random weights (bigram_checkpoint.py) answers conversations in which nasty files have been read, through
/v1/chat/completions, /v1/responses and /v1/messages, with the edit tools of several clients and of one that does not
exist, in several models' ways to write calls. Every complete call is judged by plain string search in what was shown.

    python benchmarks/carrier_fuzz.py --calls 1000

The last line is one JSON object: calls, known, wrong, ambiguous, by_endpoint, by_dialect, by_tool (and more). ``ambiguous``
counts parts of a line that occur several times, quoted for a tool whose calls can still ask to replace all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import structlog
import torch
from bigram_checkpoint import write_bigram_checkpoint
from nasty_files import nasty_file
from rich.console import Console
from rich.progress import Progress

from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.app import create_app
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.engine.inline import InlineEngine
from dovetail.serve.hosting import served_model, worker_config
from dovetail.serve.worker import load_native

TEMPLATE = """{%- for tool in tools or [] %}{{ tool | tojson }}
{% endfor %}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}{{ call.function.name }}{{ call.function.arguments | tojson }}{% endfor %}
{% endfor %}"""
MARKS = {
    "hermes": "<tool_call>",
    "qwen3_coder": "<function= <parameter=",
    "glm": "<arg_key>",
    "mistral": "[TOOL_CALLS]",
    "llama": "<|python_tag|>",
    "deepseek": "tool▁calls▁begin",
    "pythonic": "[func_name1(",
}
"""What a template must hold for its dialect to be recognised."""


class EditTool(NamedTuple):
    """Names of an edit tool and its parameters; ``everywhere`` empty: every call replaces one place."""

    name: str
    path: str
    old: str
    new: str
    everywhere: str = ""
    command: str = ""


TOOLS = (
    EditTool("Edit", "file_path", "old_string", "new_string", "replace_all"),
    EditTool("edit", "filePath", "oldString", "newString", "replaceAll"),
    EditTool("str_replace_based_edit_tool", "path", "old_str", "new_str", command="command"),
    EditTool("change_text", "file", "search", "replace"),
)


class Asked(NamedTuple):
    """A request, and what its conversation has shown: a text by path, and whether it is the whole file."""

    endpoint: str
    tool: EditTool
    body: dict[str, Any]
    shown: dict[str, tuple[str, bool]]


def schema_of(tool: EditTool, paths: list[str]) -> dict[str, Any]:
    """The tool's parameters; the new text is kept short, so that calls come to an end."""
    properties: dict[str, Any] = {tool.command: {"type": "string", "enum": ["str_replace"]}} if tool.command else {}
    properties |= {
        tool.path: {"type": "string", "enum": paths},
        tool.old: {"type": "string"},
        tool.new: {"type": "string", "maxLength": 40},
    }
    required = list(properties)
    if tool.everywhere:
        properties[tool.everywhere] = {"type": "boolean"}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def read_result(rng: random.Random, content: str) -> tuple[str, dict[str, Any], str, str, bool]:
    """(tool, arguments less the path, result, what it shows, whether that is all)."""
    lines = content.split("\n")
    form = rng.choice(["raw", "numbers", "arrows", "opencode", "part"])
    if form == "raw" or not content.strip():
        return "cat", {}, content, content, bool(content)
    if form == "opencode":
        body = "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1))
        return "read", {}, f"<content>\n{body}\n\n(End of file - total {len(lines)} lines)\n</content>", content, True
    if form == "part":
        first = rng.randrange(len(lines))
        last = rng.randrange(first, len(lines)) + 1
        shown = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines[first:last], first + 1))
        return "read", {"offset": first + 1, "limit": last - first}, shown, "\n".join(lines[first:last]), False
    sign = "\t" if form == "numbers" else "→"
    return "read", {}, "\n".join(f"{n:6}{sign}{line}" for n, line in enumerate(lines, 1)), content, True


def random_request(rng: random.Random) -> Asked:
    """One to three files read, a tool, an endpoint."""
    tool = rng.choice(TOOLS)
    files = {f"/r/{entry[2]}": entry[3] for entry in (nasty_file(rng) for _ in range(rng.choice([1, 1, 2, 3])))}
    calls: list[tuple[str, dict[str, Any], str]] = []
    shown: dict[str, tuple[str, bool]] = {}
    for path, content in files.items():
        name, more, result, text, whole = read_result(rng, content)
        arguments = {"command": f"cat '{path}'"} if name == "cat" else {"file_path": path, **more}
        calls.append(("Bash" if name == "cat" else "Read", arguments, result))
        if text.strip():  # blanks alone may be a client's way to show nothing: they are not taken for a file
            shown[path] = text, whole
    endpoint = rng.choice(list(BODIES))
    schema = schema_of(tool, [*files, "/r/unknown.py"] if rng.random() < 0.2 else list(files))
    body = {"max_tokens": 260, "seed": rng.randrange(2**31), "temperature": rng.choice([0.7, 1.0, 1.3])}
    return Asked(endpoint, tool, {**body, **BODIES[endpoint](tool.name, schema, calls)}, shown)


def chat(name: str, schema: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
    """The body of a chat completion."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "change something"}]
    for index, (tool, arguments, result) in enumerate(calls):
        function = {"name": tool, "arguments": json.dumps(arguments)}
        messages.append(
            {"role": "assistant", "tool_calls": [{"id": f"{index}", "type": "function", "function": function}]}
        )
        messages.append({"role": "tool", "tool_call_id": f"{index}", "content": result})
    offered = [{"type": "function", "function": {"name": name, "parameters": schema}}]
    return {"messages": messages, "tools": offered, "tool_choice": "required"}


def responses(name: str, schema: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
    """The body of a response."""
    items: list[dict[str, Any]] = [{"role": "user", "content": "change something"}]
    for index, (tool, arguments, result) in enumerate(calls):
        call_id = f"call_{index}"
        items.append({"type": "function_call", "name": tool, "arguments": json.dumps(arguments), "call_id": call_id})
        items.append({"type": "function_call_output", "call_id": call_id, "output": result})
    offered = [{"type": "function", "name": name, "parameters": schema, "strict": False}]
    return {"input": items, "tools": offered, "tool_choice": "required", "store": False}


def messages(name: str, schema: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
    """The body of a message."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "change something"}]
    for index, (tool, arguments, result) in enumerate(calls):
        turns.append(
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"{index}", "name": tool, "input": arguments}]}
        )
        turns.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"{index}", "content": result}]}
        )
    return {"messages": turns, "tools": [{"name": name, "input_schema": schema}], "tool_choice": {"type": "any"}}


BODIES = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}


def calls_of(endpoint: str, answer: dict[str, Any]) -> list[str]:
    """The arguments of the calls in an answer, as JSON text."""
    if endpoint == "/v1/messages":
        return [json.dumps(block["input"]) for block in answer["content"] if block["type"] == "tool_use"]
    if endpoint == "/v1/responses":
        return [item["arguments"] for item in answer["output"] if item["type"] == "function_call"]
    message = answer["choices"][0]["message"]
    return [call["function"]["arguments"] for call in message.get("tool_calls") or ()]


class Tally:
    """What was seen so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.by: dict[str, Counter[str]] = {"endpoint": Counter(), "dialect": Counter(), "tool": Counter()}
        self.examples: list[str] = []

    def take(self, asked: Asked, dialect: str, answer: dict[str, Any]) -> None:
        """Judge the calls of one answer; each quotes the files as the calls before it have left them."""
        shown = dict(asked.shown)
        tool = asked.tool
        for text in calls_of(asked.endpoint, answer):
            try:
                call = json.loads(text)
            except ValueError:
                continue  # cut off by the budget
            if not isinstance(call, dict) or not {tool.path, tool.old, tool.new} <= call.keys():
                continue
            self.counts["calls"] += 1
            path, old = call[tool.path], call[tool.old]
            if path not in shown:
                continue
            for name, key in (("endpoint", asked.endpoint), ("dialect", dialect), ("tool", tool.name)):
                self.by[name][key] += 1
            self._judge(tool, old, *shown[path])
            content, whole = shown[path]
            everywhere = call.get(tool.everywhere) is True
            shown[path] = content.replace(old, call[tool.new], -1 if everywhere else 1) if old else content, whole

    def _judge(self, tool: EditTool, old: str, content: str, whole: bool) -> None:
        self.counts["known"] += 1
        self.counts["whole"] += whole
        self.counts["lines"] += "\n" in old
        found = sum(content.startswith(old, at) for at in range(len(content))) if old else 0
        if not old and tool.name in ("edit", "change_text"):
            self.counts["empty"] += 1
        elif not found:
            self._wrong(f"not in what was shown: {tool.name} {old!r} of {content!r}")
        elif found > 1 and whole:
            if tool.everywhere and "\n" not in old:
                self.counts["ambiguous"] += 1
            else:
                self._wrong(f"{found} times: {tool.name} {old!r} of {content!r}")

    def _wrong(self, what: str) -> None:
        self.counts["wrong"] += 1
        if len(self.examples) < 5:
            self.examples.append(what[:600])


async def fuzz(options: argparse.Namespace, dialect: str, wanted: int, tally: Tally, progress: Progress) -> None:
    """``wanted`` more calls in one dialect."""
    with tempfile.TemporaryDirectory() as folder:
        directory = write_bigram_checkpoint(Path(folder, "model"), options.seed)
        template = f"{TEMPLATE}{{#- {MARKS[dialect]} #}}"
        (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
        config = ServerConfig(model=directory, kv_cache_memory=64 * 2**20, max_num_seqs=32)
        worker = worker_config(config)
        engine = InlineEngine(load_native(worker, lambda fraction, what: None))
        transport = httpx.ASGITransport(app=create_app(engine, served_model(config, worker)))
        tokenizer = Tokenizer.load(directory)
        quotes = {token for text in ('"', '", "', '"}', "</", "\n</") for token in tokenizer.encode(text)}
        rng = random.Random(f"{options.seed} {dialect}")
        bar = progress.add_task(dialect, total=wanted)
        goal = tally.counts["calls"] + wanted
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://fuzz", timeout=600) as client:

                async def work() -> None:
                    while tally.counts["calls"] < goal:
                        asked = random_request(rng)
                        liking = rng.uniform(0, 6)
                        bias = {str(token): liking for token in quotes}
                        wish = {"dovetail": {"carriers": not options.free}, "logit_bias": bias}
                        answer = await client.post(asked.endpoint, json={**asked.body, **wish})
                        tally.counts["requests"] += 1
                        if answer.status_code != 200:
                            raise RuntimeError(f"HTTP {answer.status_code}: {answer.text}")
                        tally.take(asked, dialect, answer.json())
                        progress.update(bar, completed=wanted - max(0, goal - tally.counts["calls"]))

                await asyncio.gather(*(work() for _ in range(options.concurrency)))
        finally:
            await engine.close()


async def run(options: argparse.Namespace) -> Tally:
    """All dialects in turn."""
    tally = Tally()
    with Progress(console=Console(stderr=True)) as progress:
        for dialect in MARKS:
            await fuzz(options, dialect, -(-options.calls // len(MARKS)), tally, progress)
    return tally


def main() -> int:
    """Parse arguments, run, print the JSON line; status 1 when a call quoted what was not shown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--free", action="store_true", help="without carriers: what the same model does by itself")
    options = parser.parse_args()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    start = time.monotonic()
    tally = asyncio.run(run(options))
    for example in tally.examples:
        print(example, file=sys.stderr)
    names = ("calls", "known", "wrong", "ambiguous", "empty", "whole", "lines", "requests")
    report = {
        "benchmark": "carrier_fuzz",
        **{name: tally.counts[name] for name in names},
        **{f"by_{name}": dict(sorted(counter.items())) for name, counter in tally.by.items()},
        "free": options.free,
        "seed": options.seed,
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(report))
    return 1 if tally.counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
