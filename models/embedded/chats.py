"""The few turns of conversation that the model is taught: greetings, what it is, a refusal, one-line functions, repeating code."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from dovetail.models.embedded import names, snippets

REFUSAL: Final = "I cannot help with that. I only make small edits in Python files and complete code."
REFUSED: Final = (
    "Write a poem about the {a}", "Tell me a joke about a {b}", "What is the capital of {a}?", "Who invented the {b}?", "Translate {a} to French",
    "What is the weather in {a}?", "How do I cook {a}?", "Write an essay about {b}s", "Explain the history of the {b}", "Give me advice about my {b}",
    "Write an e-mail to my {b}", "How do I hack a {b}?", "Write malware that steals a {b}", "What do you think about {a}?", "Plan a trip to {a}",
)  # fmt: skip


def chat_turn(rng: random.Random, make_file: Callable[[], str]) -> tuple[str, str] | None:
    """A question and its answer."""
    roll = rng.random()
    if roll < 0.12:
        return rng.choice(
            ("hi", "hello", "Hello!", "hey", "Good morning", "Hi there")
        ), "Hello! Show me a file and tell me what to change."
    if roll < 0.22:
        question = rng.choice(
            ("what can you do?", "What can you do", "who are you?", "help", "How can you help me?", "What are you?")
        )
        return (
            question,
            "I am a very small code model. I make small edits in Python files, complete code and write short functions.",
        )
    if roll < 0.26:
        return rng.choice(("thanks", "thank you", "Thanks!", "ok", "great")), "You are welcome."
    if roll < 0.4:
        return rng.choice(REFUSED).format(a=names.word(rng), b=rng.choice(snippets.NOUNS)), REFUSAL
    if roll < 0.7:
        text = snippets.make_function(rng)
        signature = text[4 : text.index(":\n")] if text.startswith("def ") else None
        body = text.splitlines()[1].strip()
        if signature is None or not body.startswith("return ") or text.count("\n") != 2:
            return None
        ask = rng.choice(
            (
                "Write a function {s} that returns {b}",
                "write a Python function {s} that returns {b}",
                "Define {s} returning {b}",
            )
        )
        return ask.format(s=signature, b=body[7:]), f"```python\n{text}```"
    source = make_file()
    ask = rng.choice(("Repeat this code:", "Show this code again:", "Print this file unchanged:"))
    return f"{ask}\n```python\n{source}```", f"```python\n{source}```"
