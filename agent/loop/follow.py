"""The plan's subtasks one after the other: what a step leaves failing, later ones may mend; what none mends is taken back."""

from __future__ import annotations

from dovetail.agent.checks.finding import evidence
from dovetail.agent.loop import events
from dovetail.agent.loop.plan import Plan
from dovetail.agent.loop.report import SubtaskReport
from dovetail.agent.loop.state import State
from dovetail.agent.loop.subtask import SubtaskRun


def follow(run: State, plan: Plan) -> None:
    """Do every subtask, in order.

    Types, lint and tests may object to a step that others follow: then its edit stays for now, and they are expected to
    mend it. If anything still objects after the last one, the work goes back to where nothing did: the step that first
    broke something is given up, and those after it are done again without it.
    """
    steps = list(zip(plan.subtasks, run.report.subtasks, strict=True))
    index = sound = 0
    accepted = run.workspace.accepted
    while index < len(steps):
        subtask, told = steps[index]
        SubtaskRun(run, subtask, told, others_follow=index + 1 < len(steps)).go()
        index += 1
        if not run.open:
            sound, accepted = index, run.workspace.accepted
        elif index == len(steps):
            _give_up(run, steps[sound][1])
            run.workspace.back_to(accepted)
            run.open = ()
            sound = index = sound + 1


def _give_up(run: State, told: SubtaskReport) -> None:
    why = f"no later step mended what it broke: {evidence(run.open, 1)}"
    told.accepted, told.candidate, told.why = False, None, why
    run.tell(events.SubtaskEnded(told.id, False, None, why))
    run.note(f"Deviation: {told.id} was taken back ({why}); the steps after it are done again without it.")
