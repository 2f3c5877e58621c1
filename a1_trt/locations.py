"""Where pair files and models are on disk."""

from __future__ import annotations

import difflib
import importlib.util
import os
from pathlib import Path

from a1_trt.errors import ConfigError


def engines_directories() -> list[Path]:
    here = Path(__file__).resolve().parent
    named = os.environ.get("A1_TRT_ENGINES")
    candidates = [Path(named)] if named else []
    candidates += [Path.cwd() / "engines", here.parent / "engines", here / "engines"]
    return list(dict.fromkeys(path.resolve() for path in candidates if path.is_dir()))


def list_pairs() -> dict[str, Path]:
    """Every pair that can be named: name -> pair file."""
    pairs: dict[str, Path] = {}
    for directory in engines_directories():
        for file in sorted(directory.glob("*/pair.toml")):
            pairs.setdefault(file.parent.name, file)
    return pairs


def find_pair(name_or_path: str | os.PathLike[str]) -> Path:
    """The pair file that a path, a directory or a name means; a `ConfigError` if there is none."""
    path = Path(name_or_path)
    if path.is_dir() and (path / "pair.toml").is_file():
        return path / "pair.toml"
    if path.is_file():
        return path
    known = list_pairs()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    near = difflib.get_close_matches(str(name_or_path), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known pairs: {', '.join(known) or 'none'}"
    raise ConfigError(
        f"there is no pair {str(name_or_path)!r}", path=str(path), field="pair", remedy=f"give a pair file; {hint}"
    )


def built_directory(pair_file: Path, profile: str) -> Path:
    """Where the engines of a pair are built for "tensorrt" or "pytorch": draft/, target/ and manifest.json."""
    return pair_file.parent / profile


def find_model(model: str, pair_file: Path | None, field: str) -> Path:
    """Where a model is that a pair file names (`RoleConfig.model`); a `ConfigError` if it is not there."""
    if model.startswith("package:"):
        package, _, inner = model.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"{field} is in the Python package {package}, which is not installed",
                path=str(pair_file),
                field=field,
                remedy=f"pip install {package.replace('_', '-')}",
            )
        path = Path(spec.submodule_search_locations[0]) / inner
    else:
        path = (pair_file.resolve().parent if pair_file else Path()) / Path(model).expanduser()
    if not path.exists():
        raise ConfigError(
            f"{field} names {path}, which does not exist",
            path=str(pair_file),
            field=field,
            remedy="give a model directory or a .gguf file; 'a1-trt engine build' makes one, for GPUs from an id, too",
        )
    return path


def find_checkpoint(model: str, pair_file: Path | None, role: str) -> str:
    """Where the Hugging Face checkpoint of a role is: its directory, or what a build fetched, or else its id.

    Example:
        >>> find_checkpoint("Qwen/QwQ-32B", None, "target")
        'Qwen/QwQ-32B'
    """
    base = pair_file.resolve().parent if pair_file else Path()
    candidates = [base / Path(model).expanduser()]
    if pair_file is not None:
        candidates += [base / profile / "checkpoints" / role for profile in ("pytorch", "tensorrt")]
    return next((str(path) for path in candidates if path.is_dir()), model)
