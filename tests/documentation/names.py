"""What a document names: links, paths, make targets, dotted Python names, environment variables."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_OURS = {".venv", "var", "node_modules", ".pytest_cache", ".hypothesis"}
PACKAGES = {
    **{name: ROOT / "platform" / name for name in ("config", "console", "gateway", "wire")},
    **{
        name: ROOT / name
        for name in ("inference_worker", "metering", "ops", "regions", "stenogate", "tenants", "tests")
    },
}
TOP_LEVEL = {*PACKAGES, "platform", "docs", "requirements"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not NOT_OURS & set(path.relative_to(ROOT).parts) and not path.is_symlink()
    )


def blocks(text: str, language: str) -> list[str]:
    return [body for given, body in _FENCE.findall(text) if given == language]


def links(text: str) -> list[str]:
    return [link for link in _LINK.findall(_FENCE.sub("", text)) if "://" not in link]


def anchors(text: str) -> set[str]:
    """The names GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(text: str) -> list[str]:
    """What stands in backticks."""
    return _CODE.findall(_FENCE.sub("", text))


def make_targets(text: str) -> set[str]:
    """Those in backticks and at the start of lines in shell blocks."""
    in_shell = [line for block in blocks(text, "sh") for line in block.splitlines()]
    commands = [*code(text), *in_shell]
    return {
        target
        for command in commands
        for target in re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", command)
    }


def paths(text: str) -> set[str]:
    """Names in backticks that begin like a path in the repository."""
    found = {word.split(":")[0] for name in code(text) for word in name.split()}
    return {
        word
        for word in found
        if re.fullmatch(r"[\w./-]+", word) and "/" in word and word.split("/")[0] in TOP_LEVEL
    }


def dotted(text: str) -> set[str]:
    """`gateway.session.Session`, and not `metering.record_usage`, which is the name of a task."""
    found = {name for name in code(text) if re.fullmatch(r"[a-z_]+(\.\w+)+", name)}
    return {name for name in found if name.split(".")[0] in PACKAGES}


def resolves(name: str) -> bool:
    """Whether `name` is a module, or something that a module defines. Reads the source, imports nothing."""
    first, *rest = name.split(".")
    here = PACKAGES[first]
    while rest and (here / rest[0]).is_dir():
        here /= rest.pop(0)
    if rest and (here / f"{rest[0]}.py").is_file():
        here = here / f"{rest.pop(0)}.py"
    elif not rest:
        return here.is_dir()
    else:
        here /= "__init__.py"
    if not here.is_file():
        return False
    body: list[ast.stmt] = ast.parse(here.read_text()).body
    for part in rest:
        match = [node for node in body if part in _defines(node)]
        if not match:
            return False
        body = match[0].body if isinstance(match[0], ast.ClassDef) else []
    return True


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()
