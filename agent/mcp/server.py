"""The MCP server: its tools, their arguments, and one thread that runs them. What they do is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from dovetail import __version__
from dovetail.agent.mcp.http import serve_http
from dovetail.agent.mcp.project import Project, What
from dovetail.agent.problems import Problem
from dovetail.agent.sandbox.outcome import MIB

Answer = TypeVar("Answer")

_INSTRUCTIONS = """Tools for one repository. map and find read it; edit asks a local model for a patch whose every block fits the \
files, and writes nothing; check judges a patch (parses, policy, layers, public API, types, lint, tests, all in a sandbox); apply \
writes a patch exactly or not at all; undo takes the last one back. Paths are relative to the repository's root."""
_READS = ToolAnnotations(read_only_hint=True)
_LARGEST_PATCH = 2 * MIB

Patch = Annotated[str, Field(max_length=_LARGEST_PATCH, description="A unified diff with ---, +++ and @@ lines.")]


class _Strict(MCPServer[Any]):
    """Refuses arguments that a tool does not know: the SDK would drop them."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """As the SDK, after a look at the names."""
        for tool in await self.list_tools():
            unknown = sorted(arguments.keys() - tool.input_schema.get("properties", {}).keys())
            if tool.name == name and unknown:
                raise ToolError(f"{name} takes no argument {', '.join(unknown)}.")
        return await super().call_tool(name, arguments, context)


def make_server(project: Project, one: Executor) -> MCPServer[Any]:
    """The server of one repository; ``one`` is the thread that its tools run in."""
    server: MCPServer[Any] = _Strict("dovetail", instructions=_INSTRUCTIONS, version=__version__, log_level="WARNING")

    async def run(work: Callable[[], Answer]) -> Answer:
        """One after the other: the index and the tree belong to one thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(one, work)
        except Problem as problem:
            raise ToolError(str(problem)) from problem

    @server.tool(name="map", annotations=_READS)
    async def map_(
        budget: Annotated[int, Field(ge=50, le=100_000, description="Most tokens of the map.")] = 2000,
        focus: Annotated[list[str] | None, Field(description="Words, names or paths that the task is about.")] = None,
    ) -> str:
        """The definitions that matter most in the repository, ranked for a task, with signatures, by file."""
        return await run(lambda: project.map(budget, focus or []))

    @server.tool(annotations=_READS)
    async def find(
        what: Annotated[What, Field(description="impact takes a file, a folder or a name; the others a name.")],
        name: Annotated[str, Field(min_length=1, description="A name such as total, Cart.total or shop/tax.py.")],
    ) -> str:
        """Where a name is defined or used, who calls it and how sure that is, or what may break when it changes."""
        return await run(lambda: project.find(what, name))

    @server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    async def edit(
        instruction: Annotated[str, Field(min_length=1, description="What to change, in a sentence or more.")],
        files: Annotated[list[str], Field(description="The files that may change; the model sees no others.")],
        max_tokens: Annotated[int | None, Field(ge=1, description="Longest answer of the model.")] = None,
    ) -> dict[str, Any]:
        """A patch by the local model: every block quotes the files verbatim and leaves them parsing. Not applied."""
        return await run(lambda: project.edit(instruction, files, max_tokens))

    @server.tool(annotations=_READS)
    async def check(
        patch: Patch = "",
        commands: Annotated[bool, Field(description="Run types, lint and tests too, in a sandbox.")] = True,
    ) -> dict[str, Any]:
        """Judge a patch against the code as it is; without a patch, run the project's own checks on the tree. Writes nothing."""
        return await run(lambda: project.check(patch, commands))

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    async def apply(patch: Patch, context: Context) -> dict[str, Any]:
        """Write a patch: all of it, exactly where it says, or nothing. The tree is kept first; undo brings it back."""
        session = _session(context)
        return await run(lambda: project.apply(patch, session))

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    async def undo(
        context: Context,
        id: Annotated[str, Field(description="Of a patch, as apply answered it in undo; default: the last one.")] = "",
    ) -> dict[str, Any]:
        """Take back a patch applied in this session; files that somebody changed since stay as they are."""
        session = _session(context)
        return await run(lambda: project.undo(session, id))

    return server


def _session(context: Context) -> str | None:
    """Whose request it is: the only client of a pipe, or a session over HTTP; None where the protocol has no sessions."""
    return "" if context.headers is None else context.headers.get("mcp-session-id")


def serve(project: Project, http: str | None = None) -> None:
    """Serve on standard input and output until the client goes, or over HTTP at an address until interrupted."""
    with ThreadPoolExecutor(1, "dovetail-mcp") as one:
        try:
            if http is None:
                make_server(project, one).run("stdio")
            else:
                serve_http(make_server(project, one), http)
        finally:
            one.submit(project.close).result()
