"""What an edit request asks of the engine: its rules as a specification, its prompt, its sampling. Reads no output."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.edits.body import EditRules, check_protected, check_rules
from dovetail.serve.api.edits.policy import policy_for
from dovetail.serve.api.sampling import SamplingFields, sampling_params
from dovetail.serve.api.security.fields import SecurityField, rules_for
from dovetail.serve.api.served import ServedModel
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.landing.job import refuse_unread
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.view import as_read
from dovetail.serve.errors import UserError
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.types import EditSpec, SamplingParams, SourceFile

NO_THINKING = "none"
"""The effort that a prompt says: an output that is an edit from its first token has no place for thoughts."""


@dataclass(frozen=True)
class Held:
    """What an output is held to, and judged by.

    ``policy``: the server's and the request's together. ``rules``: those that its new code is scanned by, as ``security`` and the
    server's policy ask.
    """

    spec: EditSpec
    policy: Policy | None
    rules: RuleSet
    security: SecurityField | None
    trace: bool


async def held_to(context: ApiContext, asked: EditRules, security: SecurityField | None, answers: int = 1) -> Held:
    """``asked``, if it is usable and ``answers`` requests can be taken; a UserError that names the item otherwise.

    No ``answers``: what would be asked is only looked at.
    """
    files = check_rules(asked)
    policy = await asyncio.to_thread(policy_for, context.settings.policy, asked.policy)
    rules = rules_for(policy, security)
    if answers:
        context.admit(answers)
    if policy is not None:
        await asyncio.to_thread(_refuse_unread, context, policy, files)
    spec = EditSpec(
        files=files,
        markers=await asyncio.to_thread(lambda: choose_markers(as_read(files))),
        format=asked.format,
        syntax=asked.syntax,
        protected=check_protected(files, asked.protected),
        operations=tuple(asked.operations or ()),
        line_ends="own",
        policy=policy.texts if policy is not None else (),
    )
    return Held(spec, policy, rules, security, bool(asked.trace))


def _refuse_unread(context: ApiContext, policy: Policy, files: Sequence[SourceFile]) -> None:
    """Raise a UserError if the policy would have to read a file that cannot be read."""
    needed = [file for file in files if policy.may_edit(file.path) and policy.parses(file.path)]
    refuse_unread(policy, context.landings.unreadable(needed), needed)


def render(served: ServedModel, spec: EditSpec, instruction: str) -> list[int]:
    """The prompt, in the form that the model was trained on if it has one, else as a conversation.

    A model's own form is of blocks over the given files; every other format is asked for in a conversation.
    """
    files = as_read(spec.files, spec.line_ends)
    if served.render_edit is not None and spec.format == "blocks" and not spec.operations:
        return served.render_edit(files, instruction, spec.markers)
    if served.render_chat is not None:
        messages = FORMATS[spec.format].messages(files, instruction, spec.markers, spec.operations)
        return served.render_chat(list(messages), (), NO_THINKING)
    if served.render_edit is not None:
        raise UserError(
            f"{served.name} has no chat template; it can be asked for blocks without operations only.",
            code="unsupported_format",
            param="format" if spec.format != "blocks" else "operations",
        )
    raise UserError(
        f"{served.name} has neither an edit template nor a chat template.", code="unsupported_model", param="model"
    )


def edit_sampling(
    fields: SamplingFields,
    served: ServedModel,
    *,
    prompt_tokens: int,
    room: int,
    max_tokens: int | None,
    index: int = 0,
    logprobs: int | None = None,
) -> SamplingParams:
    """How the ``index``-th output is drawn: greedily unless ``fields`` say otherwise, and no longer than edits usually are.

    No useful edit is much longer than the files it is about; a model that rambles must not do so to the context's end.
    """
    usual = 1024 + 2 * prompt_tokens
    return sampling_params(
        fields,
        served,
        max_tokens=min(max_tokens or usual, room),
        index=index,
        logprobs=logprobs,
        defaults=dataclasses.replace(served.defaults, temperature=0.0, repetition_penalty=1.0),
    )
