"""The README's examples do what the README says: each block runs, and prints what stands below it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.support.running import RunningStack, running_stack

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = "## Send an event, and read it back"
# What differs from run to run: minted ids, times, the id of the key.
_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "<time>"),
    (re.compile(r'"key_id":"[a-z2-7]{16}"'), '"key_id":"<key id>"'),
)


def _examples() -> list[tuple[str, str | None]]:
    """Return the commands of the section, each with the output that is shown for it."""
    section = README.read_text().split(_SECTION, 1)[1].split("\n## ", 1)[0]
    blocks = [(kind, text.strip()) for kind, text in _BLOCK.findall(section)]
    following = [*blocks[1:], ("", "")]
    return [
        (text, after if kind_after == "json" else None)
        for (kind, text), (kind_after, after) in zip(blocks, following, strict=True)
        if kind == "sh"
    ]


def _settled(text: str) -> str:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text.strip()


def _write_endpoints(folder: Path, stack: RunningStack) -> None:
    endpoints = folder / ".audit" / "endpoints.json"
    endpoints.parent.mkdir()
    url = f"http://localhost:{stack.port}"
    endpoints.write_text(json.dumps({"tenants": {"acme": {"url": url, "key": stack.key("acme")}}}))


async def test_each_example_prints_what_the_readme_shows(tmp_path: Path) -> None:
    examples = _examples()
    assert sum(shown is not None for _, shown in examples) >= 5
    async with running_stack(tmp_path) as stack:
        _write_endpoints(tmp_path, stack)
        prelude = ""
        for commands, shown in examples:
            script = prelude + commands.replace("localhost:8000", f"localhost:{stack.port}")
            if shown is None:
                prelude = script + "\n"
                continue
            done = subprocess.run(
                ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert _settled(done.stdout) == _settled(shown)
            await stack.drained("acme")
