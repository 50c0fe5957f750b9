"""A card as a person reads it: Markdown, and a page of HTML without scripts. Adds nothing to what the card says."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dovetail.serve.govern.card.document import Card

Block = tuple[str, Any]
"""``("h1", text)``, ``("h2", text)``, ``("h3", text)``, ``("p", text)``, ``("list", lines)``, ``("table", (head, rows))``, ``("quote", text)``."""

STYLE = """
:root{color-scheme:light dark;--line:#8884;--mute:#777}
body{font:16px/1.55 system-ui,sans-serif;max-width:62rem;margin:3rem auto;padding:0 1.25rem}
h1{font-size:1.7rem;line-height:1.2}h3{font-size:1rem;margin-top:1.6rem}h2{font-size:1.15rem;margin-top:2.4rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th{color:var(--mute);font-weight:500}pre{white-space:pre-wrap;border-left:3px solid var(--line);padding-left:1rem;font-size:.9rem}
"""


def style_source() -> str:
    """What a content security policy calls the page's style."""
    return "'sha256-" + b64encode(hashlib.sha256(STYLE.encode()).digest()).decode() + "'"


def to_markdown(card: Card) -> str:
    """The card as Markdown."""
    return "\n\n".join(_as_markdown(kind, content) for kind, content in blocks(card)) + "\n"


def to_html(card: Card) -> str:
    """The card as one page."""
    title = escape(f"System card: {card['model']['name']}")
    body = "\n".join(_as_html(kind, content) for kind, content in blocks(card))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )


def blocks(card: Card) -> list[Block]:
    """What the card says, in order."""
    model, deployment = card["model"], card["deployment"]
    made: list[Block] = [("h1", f"System card: {model['name']}"), ("p", _head(card))]
    if card["stale"]:
        made += [("p", "This card is stale:"), ("list", card["stale_because"])]
    made += [("h2", "Model"), *_of_model(model, card["quantisation"])]
    made += [("h2", "Deployment"), ("table", (("what", "value"), [*_deployment_rows(deployment)]))]
    made += [("h2", "Measured on this deployment")]
    made += _measured(card["capabilities"]["measured"], "")
    made += [("h2", "Not tested"), ("list", card["not_tested"])]
    for each in card.get("beside", ()):
        made += _beside(each)
    made += [("h2", "Guarantees"), ("table", (("guarantee", "in force", "enforced", "shown by"), [
        (f"{each['statement']} {each['how']}", "yes" if each["in_force"] else "no: switched off", each["enforced"],
         ", ".join(each["evidence"])) for each in card["guarantees"]]))]  # fmt: skip
    made += [("h2", "Risks"), ("table", (("risk", "what is done", "in force", "what is left"), [
        (each["risk"], each["mitigation"], "yes" if each["in_force"] else "no: switched off", each["left"])
        for each in card["risks"]]))]  # fmt: skip
    made += [("h2", "Limits"), ("list", card["limitations"])]
    made += [("h2", "Constraints of safety and alignment"), ("list", card["constraints"])]
    return made


def _of_model(model: dict[str, Any], quantisation: dict[str, Any]) -> list[Block]:
    made: list[Block] = [("table", (("what", "value"), [*_model_rows(model)]))]
    if model["data_statement"]:
        made += [("p", "Data, as the model's own card states it:"), ("quote", model["data_statement"])]
    else:
        made += [("p", "The model's directory says nothing of its training data.")]
    return [*made, ("p", _quantisation(quantisation))]


def _measured(results: Sequence[dict[str, Any]], option: str) -> list[Block]:
    made: list[Block] = []
    for each in results:
        made += [("p", f"{each['suite']}: {each['about']} {each['finished']}, by `{each['command']}`.")]
        made += [("table", (("metric", "value", "95 % interval", "n"), [*map(_metric_row, each["metrics"])]))]
    return made or [("p", f"Nothing was measured on this deployment yet: run `dovetail eval all{option}`.")]


def _beside(hosted: dict[str, Any]) -> list[Block]:
    """One more model, or an adapter, of the same server."""
    name = hosted["model"]["name"]
    kind = f"LoRA adapter of {hosted['adapter_of']}" if hosted["adapter_of"] is not None else "model"
    return [
        ("h2", f"Also hosted: {name}"),
        (
            "p",
            f"A {kind} beside the first; its answers name {hosted['fingerprint']}. It offers {_and(hosted['offered'])}.",
        ),
        *_of_model(hosted["model"], hosted["quantisation"]),
        ("h3", f"Measured: {name}"),
        *_measured(hosted["measured"], f" --model {name}"),
        ("h3", f"Not tested: {name}"),
        ("list", hosted["not_tested"]),
    ]


def _and(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _head(card: Card) -> str:
    state = "stale" if card["stale"] else "current"
    return f"{card['id']}, {state}, generated {card['generated']} by the running deployment {card['fingerprint']}."


def _model_rows(model: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for key in (
        "digest",
        "signature",
        "licence",
        "architecture",
        "parameters",
        "stored_as",
        "weight_bytes",
        "context_length",
    ):
        yield key.replace("_", " "), _told(model[key])


def _deployment_rows(deployment: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "server", f"{deployment['server']} {deployment['version']}"
    for key in ("engine", "software_digest", "configuration_digest"):
        yield key.replace("_", " "), _told(deployment[key])
    yield "policy", deployment["policy_digest"] or "none"
    yield "switched on", ", ".join(deployment["switched_on"]) or "nothing"
    machine = deployment["hardware"]
    yield "machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB"
    yield "software", ", ".join(f"{each['name']} {each['version']}" for each in deployment["software"])
    yield "configuration", ", ".join(f"{key} {value}" for key, value in deployment["configuration"].items())


def _metric_row(metric: dict[str, Any]) -> tuple[str, str, str, str]:
    interval = "" if metric["low"] is None else f"{_figure(metric['low'], metric)} to {_figure(metric['high'], metric)}"
    return metric["about"] or metric["name"], _figure(metric["value"], metric), interval, str(metric["n"])


def _figure(value: float, metric: dict[str, Any]) -> str:
    return f"{value:.1%}" if metric["unit"] == "share" else f"{value:,.4g} {metric['unit']}".rstrip()


def _quantisation(told: dict[str, Any]) -> str:
    if told["kind"] == "none":
        return "The weights are served as they are stored: no quantisation of ours."
    if told["loss"] is None:
        return f"Quantised to {told['kind']}; what that costs was not measured (dovetail eval prediction, here and without --quantize)."
    return f"Quantised to {told['kind']}: {told['loss']['bits_per_byte']:.4g} bits per byte of source text, {told['loss']['ratio']:.4f} times that of {told['loss']['of']}."


def _told(value: object) -> str:
    return "not known" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _as_markdown(kind: str, content: Any) -> str:
    if kind in ("h1", "h2", "h3"):
        return "#" * int(kind[1]) + " " + _line(content)
    if kind == "list":
        return "\n".join(f"- {_line(each)}" for each in content) or "- none"
    if kind == "table":
        head, rows = content
        lines = [_row(head), "|" + "---|" * len(head), *map(_row, rows)]
        return "\n".join(lines)
    if kind == "quote":
        return "\n".join(f"> {line}".rstrip() for line in content.splitlines())
    return _line(content)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_line(cell).replace("|", "\\|") for cell in cells) + " |"


def _line(text: str) -> str:
    return " ".join(text.split())


def _as_html(kind: str, content: Any) -> str:
    if kind == "list":
        return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in content) + "</ul>"
    if kind == "table":
        head, rows = content
        cells = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
        lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
    if kind == "quote":
        return f"<pre>{escape(content)}</pre>"
    return f"<{kind}>{escape(content)}</{kind}>"
