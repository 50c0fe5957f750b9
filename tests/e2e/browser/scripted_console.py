"""Our HTTP application with keys, an audit log and a card, in front of a scripted engine whose edits change every line of a file;
beside it another model, ``small``, which says so, and an adapter of the first, ``sql``.

``python scripted_console.py PORT FOLDER``: keys.sqlite in FOLDER holds the keys, audit/ the log. No weights are loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import uvicorn

from dovetail.models.embedded import WEIGHTS
from dovetail.serve.api.app import create_app
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.engine.fake import FakeEngine, Step, reply
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.hosting import Hosting
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.govern.governance import open_governance
from dovetail.serve.hosting import served_model, worker_config
from dovetail.serve.types import EditSpec, FinishEvent, Origin, Request, TokenLogprob, TokensEvent, Usage

LINES_AT_ONCE = 50


def main() -> None:
    """Serve until the process is ended."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    config = ServerConfig(model_name="coder", device="cpu")
    served = served_model(config, worker_config(config))
    encode = served.codec.encode

    def script(request: Request) -> Iterator[Step]:
        if not isinstance(request.constraint, EditSpec):
            yield from reply(request, ["Certainly", f" {request.adapter or 'not'}."], encode)
            return
        made = 0
        for text, origin in pieces(request.constraint):
            tokens = tuple(encode(text))
            made += len(tokens)
            logprobs = tuple(TokenLogprob(token, -0.25) for token in tokens)
            yield TokensEvent(
                request_id="", tokens=tokens, text=text, origins=(origin,) * len(tokens), logprobs=logprobs
            )
            yield 0.002
        usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=made)
        yield FinishEvent(request_id="", reason="stop", usage=usage)

    governance = open_governance(str(folder / "keys.sqlite"), None)
    governance = replace(governance, audit=AuditLog(AuditSettings(folder=folder / "audit", fsync="never")))
    small = FakeEngine(lambda request: reply(request, ["Small", " talk."], encode))
    # It has no template of its own for chats, and so makes no edits either.
    beside = [Hosted(replace(served, name="small", render_chat=None, render_edit=None, dialect=None), small)]
    app = create_app(FakeEngine(script), served, ApiSettings(), governance=governance, card=card(served), beside=beside)
    adapter = folder / "sql"
    adapter.mkdir()
    app.state.models.add_adapter("sql", app.state.models.first, adapter)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", ws="none", lifespan="off")


def card(served: ServedModel) -> CardKeeper:
    """Of the two models; nothing was measured."""
    facts = Facts(
        model=served.name,
        created=1,
        context_length=served.max_model_len,
        capabilities=served.capabilities,
        directory=WEIGHTS,
        configuration={"device": "cpu"},
        version="test",
        licence="Apache-2.0",
    )
    keeper = CardKeeper(facts, lambda: None)
    keeper.add(Hosting(replace(facts, model="small", quantize="int4"), lambda: None))
    return keeper


def pieces(spec: EditSpec) -> Iterator[tuple[str, Origin]]:
    """The first file's lines, and each of them with a one added."""
    file, markers = spec.files[0], spec.markers
    lines = file.content.splitlines(keepends=True)
    yield f"{file.path}\n{markers.search}\n", "forced"
    yield from (("".join(part), "drafted") for part in parts(lines))
    yield f"{markers.divider}\n", "forced"
    changed = [line.replace("\n", "1\n") for line in lines]
    yield from (
        ("".join(part), "resampled" if number % 7 == 3 else "sampled") for number, part in enumerate(parts(changed))
    )
    yield f"{markers.replace}\n", "forced"


def parts(lines: list[str]) -> Iterator[list[str]]:
    """A few lines at a time."""
    return (lines[at : at + LINES_AT_ONCE] for at in range(0, len(lines), LINES_AT_ONCE))


if __name__ == "__main__":
    main()
