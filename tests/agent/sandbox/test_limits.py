"""Commands that use too much, or do not want to end: all end, nothing is left behind, the reason is told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from escape_world import backend
from test_escapes import why_not

from dovetail.agent.problems import SandboxProblem
from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.outcome import Limits
from dovetail.agent.sandbox.sandbox import Sandbox

MIB = 1 << 20
LEFTOVER = f"dovetail-leftover-{os.getpid()}"
SMALL = Limits(timeout=20, cpu=10, memory=200 * MIB, processes=40, file_size=8 * MIB, output=4000)


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    reason = why_not(request.param)
    if reason:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    root = tmp_path_factory.mktemp("world") / "project"
    root.mkdir()
    return Sandbox(SandboxConfig(root, limits=SMALL), backend(request.param))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No descriptor, no process and no zombie more than before."""
    before = sorted(os.listdir("/proc/self/fd")), _children()
    yield
    assert (sorted(os.listdir("/proc/self/fd")), _children()) == before
    assert not _running(LEFTOVER)


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def _running(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(path)] if marker in path.read_text() else []
        except OSError:
            continue
    return found


def python(code: str) -> list[str]:
    return ["python3", "-c", f"{code}\n# {LEFTOVER}"]


def test_time(sandbox: Sandbox) -> None:
    outcome = sandbox.run(python("import time; print('begun', flush=True); time.sleep(600)"), timeout=3)
    assert outcome.timed_out and outcome.ended_by == "timeout" and "begun" in outcome.output
    assert not outcome.ok


def test_signals_do_not_help(sandbox: Sandbox) -> None:
    code = "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(600)"
    assert sandbox.run(python(code), timeout=3).ended_by == "timeout"


def test_a_stopped_process_ends_too(sandbox: Sandbox) -> None:
    code = "import os\nif os.fork(): os.wait()\nos.kill(0, 19)"
    assert sandbox.run(python(code), timeout=3).ended_by == "timeout"


def test_processor_time(sandbox: Sandbox) -> None:
    limits = Limits(timeout=20, cpu=1)
    assert sandbox.run(python("while True: pass"), limits=limits).ended_by == "cpu"


def test_memory_of_one_process(sandbox: Sandbox) -> None:
    outcome = sandbox.run(python("x = bytearray(10 ** 9); print('had it')"))
    assert not outcome.ok and "had it" not in outcome.output


def test_memory_of_all_processes(sandbox: Sandbox) -> None:
    child = "  if not os.fork():\n    x = b'x' * 50_000_000\n    time.sleep(600)\n"
    code = f"import os, time\nfor _ in range(8):\n{child}time.sleep(600)"
    outcome = sandbox.run(python(code))
    assert outcome.ended_by == "memory" and outcome.peak_memory > SMALL.memory


def test_shared_memory(sandbox: Sandbox) -> None:
    code = "import mmap, time\nm = mmap.mmap(-1, 10 ** 9)\nfor i in range(0, 10 ** 9, 4096): m[i] = 1\nprint('had it')"
    outcome = sandbox.run(python(code))
    assert not outcome.ok and "had it" not in outcome.output


def test_fork_bomb(sandbox: Sandbox) -> None:
    outcome = sandbox.run(python("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"))
    assert outcome.ended_by in {"processes", "memory"}


def test_fork_bomb_of_sleepers(sandbox: Sandbox) -> None:
    outcome = sandbox.run("for i in $(seq 60); do sleep 600 & done; wait")
    assert outcome.ended_by == "processes" and outcome.peak_processes > SMALL.processes


def test_large_file(sandbox: Sandbox) -> None:
    outcome = sandbox.run("exec head -c 100000000 /dev/zero > big")
    assert outcome.ended_by == "file size"


def test_full_disk(sandbox: Sandbox) -> None:
    limits = replace(SMALL, disk=32 * MIB)
    command = "i=0; while true; do i=$((i+1)); head -c 4000000 /dev/zero > fill.$i || exit 1; done"
    assert sandbox.run(command, limits=limits).ended_by == "disk"
    assert sandbox.run("rm -f fill.* big").ok


def test_what_others_write_to_the_disk_does_not_count(sandbox: Sandbox, tmp_path: Path) -> None:
    def fill() -> None:
        with (tmp_path / "others").open("wb") as file:
            for _ in range(48):
                file.write(os.urandom(MIB))
                os.fsync(file.fileno())

    others = threading.Thread(target=fill)
    others.start()
    own = "head -c 3000000 /dev/zero > own; for i in $(seq 12); do sleep 0.1; done; rm own; echo done"
    outcome = sandbox.run(own, limits=replace(SMALL, disk=8 * MIB))
    others.join()
    assert outcome.ok, outcome.ended_by


def test_deleted_files_that_are_open_count(sandbox: Sandbox) -> None:
    code = (
        "import os, time\nkept = []\nfor n in range(12):\n    kept.append(open(f'gone.{n}', 'wb', buffering=0))\n"
        "    os.unlink(f'gone.{n}')\n    kept[-1].write(os.urandom(4 << 20))\ntime.sleep(600)"
    )
    assert sandbox.run(python(code), limits=replace(SMALL, disk=32 * MIB)).ended_by == "disk"


def test_output(sandbox: Sandbox) -> None:
    outcome = sandbox.run("echo first; seq 100000; echo last")
    assert outcome.ok and outcome.truncated
    assert outcome.output.startswith("first\n") and outcome.output.endswith("last\n")
    assert f"{outcome.dropped_bytes} bytes" in outcome.output and len(outcome.output) < SMALL.output + 100


def test_flood(sandbox: Sandbox) -> None:
    outcome = sandbox.run(f"yes {LEFTOVER}", timeout=30)
    assert outcome.ended_by == "output" and outcome.truncated


def test_output_that_is_no_text(sandbox: Sandbox) -> None:
    outcome = sandbox.run("printf 'a\\377\\000b'; printf 'error' >&2")
    assert outcome.ok and outcome.output == "a\ufffd\0berror"


def test_background_processes_end_with_the_command(sandbox: Sandbox) -> None:
    outcome = sandbox.run(f"python3 -c 'import time; time.sleep(600) # {LEFTOVER}' & exit 3")
    assert (outcome.exit_code, outcome.ended_by) == (3, "exit")


def test_daemons_end_with_the_command(sandbox: Sandbox) -> None:
    code = (
        "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "os.closerange(0, 100)\ntime.sleep(600)"
    )
    assert sandbox.run(python(code)).ok


def test_daemons_that_keep_the_output_open(sandbox: Sandbox) -> None:
    code = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(600)"
    assert sandbox.run(python(code), timeout=15).ok


def test_exit_codes(sandbox: Sandbox) -> None:
    assert [sandbox.run(f"exit {code}").exit_code for code in (0, 1, 77, 127)] == [0, 1, 77, 127]
    killed = sandbox.run("kill -9 $$")
    assert killed.exit_code == 137 and not killed.ok


def test_a_program_that_is_not_there(sandbox: Sandbox) -> None:
    outcome = sandbox.run(["no-such-program-here"])
    assert not outcome.ok and "no-such-program-here" in outcome.output


def test_standard_input_is_empty(sandbox: Sandbox) -> None:
    assert sandbox.run("cat; echo done").output == "done\n"


def test_many_at_once(sandbox: Sandbox) -> None:
    results: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.setdefault(n, sandbox.run(f"echo {n}; sleep 0.1").output))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: f"{n}\n" for n in range(6)}


def test_an_agent_that_dies_takes_its_commands_along(sandbox: Sandbox, tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os.close(1)
        sandbox.run(python(f"import time; time.sleep(600) # {tmp_path}"), timeout=100)
        os._exit(0)
    _until(lambda: _running(str(tmp_path)))
    os.kill(child, 9)
    os.waitpid(child, 0)
    _until(lambda: not _running(str(tmp_path)))


def _until(condition: object) -> None:
    end = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"memory": -1}, {"output_limit": 0}])
def test_limits_must_be_above_nothing(sandbox: Sandbox, limits: dict[str, int]) -> None:
    with pytest.raises(SandboxProblem, match="above 0"):
        sandbox.run("true", **limits)  # type: ignore[arg-type]
