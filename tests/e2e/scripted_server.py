"""A server of our own HTTP application in front of a scripted engine that plays the correct model.

``python scripted_server.py PORT MODEL_DIR LOG``: the tokenizer and the template of MODEL_DIR are real, no weights are
loaded. One line of JSON in LOG for every request to the engine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.correct_model import answer, read_prompt

from dovetail.serve.api.app import create_app
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.engine.fake import FakeEngine, Step, reply
from dovetail.serve.hosting import served_model, worker_config
from dovetail.serve.types import Request

PIECE = 7


def main() -> None:
    """Serve until the process is ended."""
    port, model, log = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    config = ServerConfig(model=model, model_name="coder", max_model_len=65_536, device="cpu")
    served = served_model(config, worker_config(config))

    def script(request: Request) -> Iterable[Step]:
        asked = read_prompt(served.codec.decode(request.prompt))
        said = answer(asked)
        record = {"tools": asked.tools, "results": asked.results, "thoughts": asked.thoughts, "said": said}
        with log.open("a") as lines:
            lines.write(json.dumps(record | {"end": asked.prompt[-2000:]}) + "\n")
        return reply(request, [said[at : at + PIECE] for at in range(0, len(said), PIECE)], served.codec.encode)

    app = create_app(FakeEngine(script), served, ApiSettings(docs=True))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="info", ws="none", lifespan="off")


if __name__ == "__main__":
    main()
