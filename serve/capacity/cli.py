"""``dovetail plan``: how many GPUs a number of users needs."""

from __future__ import annotations

from typing import Annotated

import typer

from dovetail.serve.errors import UserError

app = typer.Typer()


@app.command("plan")
def plan_(
    model: Annotated[str, typer.Option(help="0.5b, 1.5b, 3b, 7b, 14b, 24b, 32b, 70b, 30b-a3b or 480b-a35b.")] = "32b",
    gpu: Annotated[str, typer.Option(help="h200, h100, b200, a100, l40s, rtx4090 or mi300x.")] = "h200",
    users: Annotated[int, typer.Option(min=1, help="Who work at the same time.")] = 100,
    weights: Annotated[str, typer.Option(help="How weights are stored: bf16, fp8, int8 or int4.")] = "bf16",
    kv: Annotated[str, typer.Option(help="How keys and values are stored: bf16 or fp8.")] = "bf16",
    requests_per_hour: Annotated[float, typer.Option(min=0.1, help="Of one user.")] = 12.0,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 6000,
    output: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 400,
    cached: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of a prompt found in the prefix cache.")
    ] = 0.8,
    tokens_per_second: Annotated[float, typer.Option(min=0.1, help="What one stream should have.")] = 30.0,
    peak: Annotated[float, typer.Option(min=1.0, help="The busiest minutes over the mean.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate memory, batch, speed and the number of GPUs for a number of users. Arithmetic; nothing is measured."""
    import json
    from dataclasses import asdict

    from dovetail.serve.capacity.estimate import Load, plan
    from dovetail.serve.capacity.shapes import BYTES_PER_WEIGHT, MACHINES, MODELS

    for param, given, known in (
        ("model", model, MODELS),
        ("gpu", gpu, MACHINES),
        ("weights", weights, BYTES_PER_WEIGHT),
    ):
        if given not in known:
            raise UserError(f"{param} must be one of {', '.join(known)}, not {given!r}.", param=param)
    if kv not in ("bf16", "fp8"):
        raise UserError(f"kv must be bf16 or fp8, not {kv!r}.", param="kv")
    load = Load(
        users=users,
        requests_per_hour=requests_per_hour,
        prompt=prompt,
        output=output,
        cached=cached,
        speed=tokens_per_second,
        peak=peak,
    )
    made = plan(MODELS[model].stored(weights, kv), MACHINES[gpu], load)
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    kept = "every user's last prompt fits"
    if made.host_memory_gb:
        kept = f"{made.conversations} users' prompts fit; {made.host_memory_gb:,.0f} GB of host memory keep the others'"
        kept += " (--kv-offload-memory, a server)"
    each = f"{made.machines_per_server} x {gpu}" if made.machines_per_server > 1 else gpu
    typer.echo(
        f"{made.total_machines} x {gpu}: {made.servers} server{'s' if made.servers > 1 else ''}, each on {each}\n"
        f"  memory      weights {made.weights_gb:.1f} GB, {made.kv_gb_per_sequence:.2f} GB per request; "
        f"{made.batch} requests at once (bound by {made.limited_by})\n"
        f"  the cache   for {load.cached:.0%} of prompts to be found: {kept}\n"
        f"  a server    {made.tokens_per_second:,.0f} tokens/s, {made.requests_per_second:.2f} requests/s\n"
        f"  a stream    {made.stream_tokens_per_second:.0f} tokens/s, first token after about {made.first_token_s:.2f} s\n"
        f"  the users   ask for {load.requests_per_second:.2f} requests/s at peak; {made.total_requests_per_second:.2f} can be served\n"
        "A roofline estimate with the shares of bandwidth and matrix rate in serve/capacity/shapes.py; drafts come on top. "
        "One machine more than this covers one that fails."
    )
