"""Imports go only to lower layers, no two modules import each other, and modules that must start fast do not import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "bark_infinity"
LAYERS = (  # from the lowest to the highest; a module imports from its own layer or from one below
    {"constants", "errors", "extras", "files", "seeds"},
    {"model", "text", "readers", "audio", "options"},
    {"stages", "checkpoints", "voices"},
    {"bark", "drop_in", "api", "generation"},
    {"run"},
    {"output"},
    {"narration"},
    {"reports"},
    {"cli", "server", "__main__"},
)
TORCH_FREE = {
    "constants",
    "errors",
    "extras",
    "files",
    "seeds",
    "text",
    "readers",
    "audio",
    "options",
    "cli",
    "api",
    "generation",
}
SLOW = {"torch", "transformers", "nltk", "tokenizers", "soundfile"}  # to import


def modules() -> dict[str, Path]:
    """Every module of the package but `bark_infinity` itself, by dotted name."""
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in PACKAGE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in found.items() if name != "__init__"}


def imported(name: str, path: Path) -> Iterator[str]:
    """The package's modules that a module imports anywhere, including under TYPE_CHECKING."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            home = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                whole = f"{home}.{alias.name}".strip(".")
                yield whole if whole in MODULES else home


MODULES = modules()
IMPORTS = {name: set(imported(name, path)) & MODULES.keys() for name, path in MODULES.items()}


def top(name: str) -> str:
    return name.split(".")[0]


def test_every_module_has_a_layer():
    assert {top(name) for name in MODULES} <= set().union(*LAYERS)


def test_imports_go_downwards_only():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    upwards = {
        (name, other) for name, others in IMPORTS.items() for other in others if level[top(other)] > level[top(name)]
    }
    assert not upwards


def test_command_line_and_server_do_not_import_each_other():
    """But for the server's own command, which says things in a terminal too."""
    command = {"server.start", "server.loading", "server.serving"}
    pairs = {(name, other) for name, others in IMPORTS.items() for other in others if name not in command}
    assert not {pair for pair in pairs if {top(name) for name in pair} == {"cli", "server"}}


def test_folders_have_empty_init_files():
    assert all(not path.read_text() for name, path in MODULES.items() if path.name == "__init__.py")


def test_fast_modules_import_nothing_slow_at_module_level():
    for name, path in MODULES.items():
        if top(name) not in TORCH_FREE:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not {n.split(".")[0] for n in names} & SLOW, name


def test_no_two_modules_import_each_other():
    assert not {(name, other) for name, others in IMPORTS.items() for other in others if name in IMPORTS[other]}
