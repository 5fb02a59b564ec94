"""Generates `actors/grpc_api/generated` from `proto/`: `python tools/protos.py`. With `--check` it writes nothing and
exits with 1 when what is checked in is not what would be generated.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "proto"
GENERATED = ROOT / "actors" / "grpc_api" / "generated"
INIT = '"""Generated from proto/ by tools/protos.py."""\n'
PACKAGE = "actors.grpc_api.generated"
_IMPORT = re.compile(r"^from testcoordinator\.", re.MULTILINE)


def generate() -> dict[str, str]:
    """What belongs into GENERATED: file to content, for every proto."""
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        code = protoc.main([
            "protoc", f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={folder}", f"--pyi_out={folder}", f"--grpc_python_out={folder}", *sources,
        ])  # fmt: skip
        if code != 0:
            raise SystemExit(code)
        found = {
            # protoc imports from the root of the path; ours are in a package of their own.
            str(path.relative_to(folder)): _IMPORT.sub(f"from {PACKAGE}.testcoordinator.", path.read_text("utf-8"))
            for path in sorted(Path(folder).rglob("*.py*"))
        }
    packages = {package for name in found for package in Path(name).parents}
    return found | {str(package / "__init__.py"): INIT for package in packages}


def stale() -> list[str]:
    """The files that are missing, changed or too many in GENERATED."""
    wanted = generate()
    there = {
        str(path.relative_to(GENERATED)): path.read_text("utf-8")
        for path in GENERATED.rglob("*.py*")
        if path.suffix in {".py", ".pyi"}
    }
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write, or check."""
    if "--check" in sys.argv[1:]:
        old = stale()
        for name in old:
            print(f"{GENERATED / name}: not as generated; run `python tools/protos.py`", file=sys.stderr)
        return int(bool(old))
    for name, content in generate().items():
        path = GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
