"""The direction of imports (docs/architecture.md), read from the source: an upward import fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Layer (path prefix, most specific first) -> prefixes of dovetail modules it may import.
ALLOWED: dict[str, tuple[str, ...]] = {
    "kernels": ("kernels",),
    "models/embedded": ("models", "kernels"),
    "models/check": ("models", "kernels"),
    "models": ("models", "kernels"),
    "serve/types.py": (),
    "serve/errors.py": (),
    "serve/pointer.py": (),
    "serve/config": ("serve.config", "serve.errors"),
    "serve/constrain": ("serve.constrain", "serve.types", "serve.errors"),
    "serve/edit": ("serve.edit", "serve.constrain", "serve.pointer", "serve.types", "serve.errors"),
    "serve/engine/native": (
        "serve.engine.native",
        "serve.engine.request",
        "serve.engine.base",
        "serve.constrain.base",
        "serve.pointer",
        "serve.types",
        "serve.errors",
        "models",
        "kernels",
    ),
    "serve/engine/request": (
        "serve.engine.request",
        "serve.constrain.base",
        "serve.types",
        "serve.errors",
        "models.detokenizer",
    ),
    "serve/engine/vllm": (
        "serve.engine.vllm",
        "serve.engine.request",
        "serve.engine.base",
        "serve.constrain.base",
        "serve.types",
        "serve.errors",
        "models.tokenizer",
    ),
    "serve/engine": ("serve.engine.base", "serve.engine.process", "serve.types", "serve.errors"),
    "serve/govern/findings": (
        "serve.govern",
        "serve.edit.policy",
        "serve.constrain.syntax",
        "serve.types",
        "serve.errors",
    ),
    "serve/govern": ("serve.govern", "serve.config", "serve.types", "serve.errors"),
    "serve/console": (),
    "serve/api": (
        "serve.api",
        "serve.console",
        "serve.edit",
        "serve.constrain",
        "serve.govern",
        "serve.engine.base",
        "serve.types",
        "serve.errors",
    ),
    "serve/doctor": ("serve", "models", "kernels"),
    "serve/catalogue.py": ("serve.errors",),
    "serve/sizing.py": ("serve.config", "serve.errors"),
    "serve/worker.py": ("serve", "models", "kernels"),
    "serve/vllm_worker.py": ("serve", "models"),
    "serve/capacity": ("serve.capacity", "serve.errors"),
    "serve/card.py": (
        "serve.api.served",
        "serve.config",
        "serve.edit.policy",
        "serve.engine.base",
        "serve.errors",
        "serve.govern.card",
    ),
    "serve/listening.py": ("serve.api.access", "serve.api.context", "serve.config", "serve.errors"),
    "serve/named.py": ("serve.config", "serve.errors"),
    "serve/hosting.py": ("serve", "models"),
    "serve/governed.py": (
        "serve.config",
        "serve.edit.policy",
        "serve.errors",
        "serve.govern",
        "serve.hosting",
        "serve.listening",
        "models",
    ),
    "serve/logs.py": ("serve.config",),
    "serve/server_process.py": ("serve.config", "serve.errors"),
    "serve/wiring.py": ("serve", "models", "kernels", "agent"),
    "serve/cli.py": ("serve", "models", "kernels", "agent"),
    "agent": ("agent",),
}

# Outside packages that a layer must not touch, whatever else it may import.
FORBIDDEN_PACKAGES: dict[str, set[str]] = {
    "serve/types.py": {"torch", "fastapi", "transformers", "llguidance"},
    "serve/constrain": {"torch", "fastapi", "zmq", "transformers"},
    "serve/edit": {"torch", "fastapi", "zmq", "transformers"},
    "serve/engine/native": {"fastapi", "zmq", "llguidance", "tree_sitter", "transformers", "vllm"},
    "serve/engine/request": {"fastapi", "zmq", "llguidance", "tree_sitter", "transformers", "torch", "vllm"},
    "serve/engine/vllm": {"fastapi", "zmq", "llguidance", "tree_sitter", "transformers", "torch"},
    "serve/engine": {"fastapi", "llguidance", "tree_sitter", "torch"},
    "serve/govern/findings": {"torch", "fastapi", "starlette", "zmq", "transformers"},
    "serve/govern": {"torch", "fastapi", "starlette", "zmq", "transformers"},
    "serve/api": {"torch", "transformers", "vllm", "zmq"},
    "models/check": {"fastapi", "zmq"},
    "models": {"transformers", "fastapi", "zmq"},
    "kernels": {"transformers", "fastapi", "zmq"},
    "agent": {"torch", "transformers", "fastapi"},
}


def layer_of(path: str) -> str:
    matches = [layer for layer in ALLOWED if path == layer or path.startswith(layer + "/")]
    assert matches, f"{path} belongs to no layer: add it to docs/architecture.md and to this table"
    return max(matches, key=len)


def imports(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer: import from dovetail..."
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("serve", "kernels", "models", "agent")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", FILES)
def test_imports_point_downwards(path: str) -> None:
    layer = layer_of(path)
    for name in imports((ROOT / path).read_text()):
        if name.startswith("dovetail."):
            inner = name.removeprefix("dovetail.")
            top = inner.split(".", maxsplit=1)[0]
            if top in {"__version__"}:
                continue
            allowed = ALLOWED[layer]
            fine = any(inner == a or inner.startswith(a + ".") or a.startswith(inner + ".") for a in allowed)
            assert fine, f"{path} ({layer}) must not import {name}"
        assert name.split(".", maxsplit=1)[0] not in FORBIDDEN_PACKAGES.get(layer, set()), f"{path} imports {name}"


def test_top_folders_are_no_packages() -> None:
    for folder in ("serve", "kernels", "models", "agent"):
        assert not (ROOT / folder / "__init__.py").exists(), (
            f"{folder}/__init__.py would shadow other projects' packages"
        )
        link = ROOT / "dovetail" / folder
        assert link.is_symlink(), f"dovetail/{folder} must be a symbolic link to ../{folder}"
        assert link.resolve() == ROOT / folder


def test_the_check_can_fail() -> None:
    assert "torch" in imports("import torch") and layer_of("serve/api/app.py") == "serve/api"
    assert "torch" in FORBIDDEN_PACKAGES["serve/api"]
