"""Runs inside the sandbox, in the project's own Python (3.8 or newer): which test runs which lines, with what values.

Imports the standard library alone. Values are shown without calling any code of theirs. It is a plugin of pytest too:
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import traceback
import unittest
from contextlib import suppress
from types import CodeType, FrameType, TracebackType
from typing import Any

COMMAND = "(command)"
_CALLS, _CALLS_OF_ONE, _FRAMES, _ITEMS, _LONGEST = 400, 5, 30, 6, 80
_PLAIN = (bool, float, complex, type(None), type(...))


def shown(value: Any, depth: int = 0) -> str:
    """A value as text, made without its own methods."""
    kind = type(value)
    if kind is int:
        return repr(value) if value.bit_length() < 256 else "<large int>"
    if kind in _PLAIN:
        return repr(value)
    if kind in (str, bytes):
        return repr(value[:_LONGEST]) + ("..." if len(value) > _LONGEST else "")
    if depth > 2:
        return "..."
    if kind in (list, tuple, set, frozenset, dict):
        return _container(value, kind, depth)
    if isinstance(value, type):
        return "<class " + str(type.__getattribute__(value, "__name__")) + ">"
    fields: Any = {}
    with suppress(AttributeError):
        fields = object.__getattribute__(value, "__dict__")
    inner = ""
    if type(fields) is dict and fields and depth < 2 and "__builtins__" not in fields:
        pairs = [str(name) + "=" + shown(each, depth + 1) for name, each in list(fields.items())[:_ITEMS]]
        inner = "(" + ", ".join(pairs) + ")"
    return "<" + kind.__name__ + inner + ">"


def _container(value: Any, kind: type, depth: int) -> str:
    first, last = "[]" if kind is list else "()" if kind is tuple else "{}"
    items = list(value.items() if kind is dict else value)[:_ITEMS]
    if kind is dict:
        parts = [shown(key, depth + 1) + ": " + shown(each, depth + 1) for key, each in items]
    else:
        parts = [shown(each, depth + 1) for each in items]
    more = ", ..." if len(value) > _ITEMS else "," if kind is tuple and len(value) == 1 else ""
    return str(first + ", ".join(parts) + more + last)


_active: dict[int, Tracer] = {}


class Context:
    """What one test did."""

    def __init__(self) -> None:
        self.failed = False
        self.lines: dict[str, set[int]] = {}
        self.calls: list[dict[str, Any]] = []
        self.counts: dict[tuple[str, int], int] = {}


class Tracer:
    """Collects while a program runs, writes at its end."""

    def __init__(self, root: str, folder: str) -> None:
        self._root = os.path.join(os.path.realpath(root), "")
        self._own = os.path.join(os.path.realpath(folder), "")
        self._target = os.path.join(folder, f"seen-{os.getpid()}.json")
        self._pid = os.getpid()
        self._paths: dict[str, str | None] = {}
        self._outer: list[tuple[str, Any]] = []
        self.contexts = {COMMAND: Context()}
        self.current = COMMAND
        self.failures: list[dict[str, Any]] = []

    def begin(self, name: str) -> None:
        """A test starts."""
        self._outer.append((self.current, sys.gettrace()))
        self.current = name
        self.contexts.setdefault(name, Context())
        self.watch()

    def end(self) -> None:
        """It is over."""
        self.current, before = self._outer.pop()
        sys.settrace(before)

    def watch(self) -> None:
        """Trace from here on."""
        sys.settrace(self._trace)
        threading.settrace(self._trace)

    def fail(self, kind: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
        """The present test failed with this exception."""
        self.contexts[self.current].failed = True
        if len(self.failures) < 50 and value is not None:
            self.failures.append(self._failure(kind, value, trace))

    def _failure(self, kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> dict[str, Any]:
        frames: list[dict[str, Any]] = []
        chain, seen = [(value, trace)], set()
        while chain:
            each, its = chain.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            inner = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
            if inner is not None:
                chain.append((inner, inner.__traceback__))
            own = []
            while its is not None:
                path = self._relative(its.tb_frame.f_code)
                if path is not None:
                    own.append(self._frame(path, its))
                its = its.tb_next
            frames += own[::-1][:_FRAMES]
        said = traceback.format_exception_only(kind, value)[-1].strip()[:500]
        return {"test": self.current, "what": said, "frames": frames[:_FRAMES]}

    def _frame(self, path: str, trace: TracebackType) -> dict[str, Any]:
        code, names = trace.tb_frame.f_code, trace.tb_frame.f_locals
        values = {str(name): shown(value) for name, value in list(names.items())[:20] if code.co_name != "<module>"}
        return {"path": path, "line": trace.tb_lineno, "function": code.co_name, "values": values}

    def _relative(self, code: CodeType) -> str | None:
        name = code.co_filename
        if name not in self._paths:
            full = os.path.realpath(name)
            inside = full.startswith(self._root) and not full.startswith(self._own) and os.path.exists(full)
            path = full[len(self._root) :].replace(os.sep, "/") if inside else None
            if path is not None and path.split("/")[0] in (".venv", "venv", "node_modules", ".tox"):
                path = None
            self._paths[name] = path
        return self._paths[name]

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        path = self._relative(frame.f_code)
        if path is None:
            return None
        context = self.contexts[self.current]
        lines = context.lines.setdefault(path, set())
        call = self._call(context, path, frame)

        def inner(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
                if call is not None:
                    call.pop("raised", None)
            elif call is not None and event == "exception":
                call["raised"] = arg[0].__name__
            elif call is not None and event == "return" and "raised" not in call:
                call["returned"] = shown(arg)
            return inner

        return inner

    def _call(self, context: Context, path: str, frame: FrameType) -> dict[str, Any] | None:
        code = frame.f_code
        key = (path, code.co_firstlineno)
        count = context.counts[key] = context.counts.get(key, 0) + 1
        if code.co_name.startswith("<") or count > _CALLS_OF_ONE or len(context.calls) >= _CALLS:
            return None
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given = {name: shown(frame.f_locals[name]) for name in names if name in frame.f_locals}
        call: dict[str, Any] = {"path": path, "line": code.co_firstlineno, "function": code.co_name, "given": given}
        context.calls.append(call)
        return call

    def write(self) -> None:
        """Leave what was seen."""
        sys.settrace(None)
        threading.settrace(None)
        if os.getpid() != self._pid:
            return
        contexts = {
            name: {
                "failed": each.failed,
                "lines": {path: sorted(lines) for path, lines in each.lines.items()},
                "calls": each.calls if each.failed or name == COMMAND else [],
            }
            for name, each in self.contexts.items()
        }
        with open(self._target, "w", encoding="ascii") as file:
            json.dump({"contexts": contexts, "failures": self.failures}, file)


def start(root: str, folder: str) -> Tracer:
    """Collect from now to the end of the program."""
    tracer = _active[0] = Tracer(root, folder)
    _hook_unittest(tracer)
    before = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        sys.settrace(None)
        tracer.fail(kind, value, trace)
        before(kind, value, trace)

    sys.excepthook = hook
    atexit.register(tracer.write)
    tracer.watch()
    return tracer


def _hook_unittest(tracer: Tracer) -> None:
    run = unittest.TestCase.run

    def traced(self: unittest.TestCase, result: Any = None) -> Any:
        if tracer.current != COMMAND:
            return run(self, result)
        tracer.begin(self.id())
        try:
            return run(self, result)
        finally:
            tracer.end()

    unittest.TestCase.run = traced  # type: ignore[method-assign]
    for name in ("addError", "addFailure", "addSubTest"):
        _hook_result(tracer, name)


def _hook_result(tracer: Tracer, name: str) -> None:
    original = getattr(unittest.TestResult, name)

    def told(self: unittest.TestResult, *arguments: Any) -> Any:
        error = arguments[-1]
        if isinstance(error, tuple) and error[0] is not None and tracer.current != COMMAND:
            tracer.fail(*error)
        return original(self, *arguments)

    setattr(unittest.TestResult, name, told)


def pytest_runtest_logstart(nodeid: str) -> None:
    """A hook of pytest's: a test starts; its set-up belongs to it."""
    _active[0].begin(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """It is over, with its tear-down."""
    _active[0].end()


def pytest_runtest_makereport(item: Any, call: Any) -> None:
    """How a part of it ended. Nothing is returned: others make the report."""
    if call.excinfo is None or item.get_closest_marker("xfail") is not None:
        return
    if call.excinfo.type.__name__ not in ("Skipped", "XFailed", "Exit"):
        _active[0].fail(call.excinfo.type, call.excinfo.value, call.excinfo.tb)
