"""The same shape with random weights by vLLM, where it is installed: tokens per second by number of streams.

    python benchmarks/gpu/reference_vllm.py CONFIG.json 1,8,64 128

A process of its own, since vLLM takes its memory at start. Needs nothing of Dovetail. The line that begins with {"vllm" is the result.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LONGEST = 4096


def tokens_per_s(values: dict[str, Any], batches: tuple[int, ...], new: int) -> dict[str, Any]:
    """By a process of its own; or why that was not measured."""
    if importlib.util.find_spec("vllm") is None:
        return {"not measured": "vLLM is not installed"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, __file__, str(config), ",".join(map(str, batches)), str(new)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"not measured": "vLLM failed: " + " ".join(done.stderr.split()[-40:])}
    told = [line for line in done.stdout.splitlines() if line.startswith('{"vllm"')]  # among the lines of its log
    found: dict[str, Any] = json.loads(told[-1])
    return found


def main(config: str, batches: str, new: str) -> int:
    """Measure and print. Prompts and answers have the lengths of serving.py's streams."""
    from vllm import LLM, SamplingParams, __version__

    engine = LLM(
        model=str(Path(config).parent),
        load_format="dummy",
        skip_tokenizer_init=True,
        max_model_len=LONGEST,
        enable_prefix_caching=False,
        gpu_memory_utilization=0.8,
    )

    def seconds(streams: int, tokens: int) -> float:
        prompts = [{"prompt_token_ids": list(range(50 + i, 82 + i + i % 7))} for i in range(streams)]
        params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True, detokenize=False)
        start = time.perf_counter()
        engine.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - start

    rates = {}
    for streams in map(int, batches.split(",")):
        seconds(streams, 2)
        spent = seconds(streams, int(new) + 2) - seconds(streams, 2)
        rates[str(streams)] = streams * int(new) / max(spent, 1e-9)
    print(json.dumps({"vllm": __version__, "tokens_per_s": rates}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
