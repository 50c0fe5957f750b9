"""Compaction: a long conversation as one sealed summary, which the client sends back in its place. Generates nothing itself."""

from __future__ import annotations

from dovetail.serve.api.conversation.conversation import Message

ASK = Message(
    role="user",
    text=(
        "The conversation becomes too long. Summarise it for yourself, so that you can go on from the summary alone. "
        "Keep: what the user wants and every constraint given; what has been done, with file paths, commands and names "
        "exactly as they are; what was found out; what is still to do, in order. Leave out greetings, repetition and "
        "whatever is settled. Answer with the summary only."
    ),
)
"""The turn that asks the model for the summary."""
