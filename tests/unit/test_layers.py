"""Imports go down, all at the top of their file; wide excepts are at three doors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "protectd"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("common",),
    ("conf", "plugin.base"),
    ("vault", "model"),
    ("plugin", "queue"),
    ("domain",),
    ("tasks",),
    ("api", "engine", "agent", "client"),
    ("cmd",),
    ("wsgi",),
)
"""Lowest first. A part may import itself and the layers below, not its neighbors in the same layer."""

NEVER: dict[str, tuple[str, ...]] = {
    "vault": ("conf",),
    "plugin": ("model",),
    "agent": ("model", "domain", "tasks"),
    "client": ("model", "domain", "tasks"),
}
"""What is below and still out of reach."""

DRIVERS = ("banks", "protectables", "protections", "secret_stores", "auth")
"""Kinds of plug-ins: no kind imports another."""

DOORS = {
    "api/middleware/fault.py": "the request",
    "tasks/base.py": "the run of a task",
    "engine/service.py": "the run of a chore",
    "plugin/loader.py": "the loading of a plug-in",
    "cmd/pipeline.py": "the loading of a filter",
}
"""Files that may catch every exception."""


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    """Below the package, such as `vault.pack`; "" for the package itself."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def parsed(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(), file)


def module_of(file: str) -> str:
    return ".".join(Path(file).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def part_of(module: str) -> str:
    """The row of the table that a module stands in; "" for the package itself."""
    parts = [part for layer in LAYERS for part in layer]
    fitting = [part for part in parts if f"{module}.".startswith(f"{part}.")]
    return max(fitting, key=len, default="")


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def imports_of(file: str) -> Iterator[Import]:
    package = module_of(file) if file.endswith("__init__.py") else module_of(file).rpartition(".")[0]
    for node in ast.walk(parsed(file)):
        for name in _modules(node, package):
            if f"{name}.".startswith("protectd."):
                yield Import(file, node.lineno, name.removeprefix("protectd").lstrip("."))  # type: ignore[attr-defined]


def _modules(node: ast.AST, package: str) -> list[str]:
    """Whole names; of `from x import y` the longer one where y is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = ["protectd", *package.split(".")] if package else ["protectd"]
        base = ".".join([*above[: len(above) - node.level + 1], *filter(None, [base])])
    return [f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names]


def _is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def allowed(source: str, target: str) -> bool:
    """Both are parts of the table."""
    if source == target or not target:
        return True
    if target in NEVER.get(source, ()):
        return False
    return layer_of(target) < layer_of(source)


def test_every_module_has_a_layer() -> None:
    assert [file for file in FILES if not part_of(module_of(file)) and file != "__init__.py"] == []


def test_the_package_itself_imports_nothing_of_ours() -> None:
    assert list(imports_of("__init__.py")) == []


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    source = part_of(module_of(file))
    wrong = [str(each) for each in imports_of(file) if not allowed(source, part_of(each.module))]
    assert wrong == []


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.split("/")[1:2] and file.startswith("plugin/")]
)
def test_one_kind_of_plugin_does_not_know_another(file: str) -> None:
    own = file.split("/")[1]
    others = {f"plugin.{kind}" for kind in DRIVERS if kind != own}
    wrong = [
        str(each) for each in imports_of(file) if any(f"{each.module}.".startswith(f"{x}.") for x in others)
    ]
    assert wrong == []


@pytest.mark.parametrize("file", FILES)
def test_imports_stand_at_the_top(file: str) -> None:
    inner = (
        node
        for function in ast.walk(parsed(file))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef)
        for node in ast.walk(function)
    )
    assert [node.lineno for node in inner if isinstance(node, ast.Import | ast.ImportFrom)] == []


@pytest.mark.parametrize("file", [file for file in FILES if file not in DOORS])
def test_wide_excepts_are_at_the_doors_only(file: str) -> None:
    handlers = (node for node in ast.walk(parsed(file)) if isinstance(node, ast.ExceptHandler))
    assert [handler.lineno for handler in handlers if _is_wide(handler) and not _raises_again(handler)] == []


def _is_wide(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising the same hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("file", FILES)
def test_nothing_reads_the_global_configuration(file: str) -> None:
    names = {node.id for node in ast.walk(parsed(file)) if isinstance(node, ast.Name)}
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert "cfg.CONF" not in attributes
    assert "CONF" not in names


# --- the table judges as it reads ---


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("tasks", "domain", True),
        ("domain", "tasks", False),
        ("vault", "model", False),
        ("vault", "plugin.base", True),
        ("vault", "plugin", False),
        ("vault", "conf", False),
        ("model", "conf", True),
        ("plugin", "queue", False),
        ("plugin", "vault", True),
        ("plugin", "model", False),
        ("api", "engine", False),
        ("api", "model", True),
        ("client", "domain", False),
        ("client", "common", True),
        ("cmd", "api", True),
        ("api", "cmd", False),
        ("plugin.base", "plugin", False),
    ],
)
def test_the_table_says(source: str, target: str, expected: bool) -> None:
    assert allowed(source, target) is expected


def test_a_module_belongs_to_its_closest_part() -> None:
    assert part_of("plugin.base") == "plugin.base"
    assert part_of("plugin.banks.memory") == "plugin"
    assert part_of("plugin") == "plugin"
    assert part_of("clients") == ""
