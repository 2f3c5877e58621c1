"""a1-trt engine build | show"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from a1_trt.cli.options import json_option
from a1_trt.cli.output import note, say_json
from a1_trt.config import load_pair
from a1_trt.session import ROLES


@click.group()
def engine() -> None:
    """Build models for an engine, and look at built ones.

    \b
    Examples:
      a1-trt engine build checkpoint/ engines/mine/target
      a1-trt engine show reference
    """


@engine.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--weights", "weight_format", default="f16", show_default=True, help="f32, f16 or int8.")
@click.option("--force", is_flag=True, help="Replace OUTPUT if it exists.")
@json_option
def build(source: Path, output: Path, weight_format: Any, force: bool, as_json: bool) -> None:
    """Compile a Hugging Face model for the CPU engine.

    SOURCE is the model's directory, and OUTPUT becomes the built one. SOURCE may also be a pair, whose checkpoints are
    then built as OUTPUT/draft and OUTPUT/target. Building needs torch and optimum-intel, running does not.

    \b
    Examples:
      a1-trt engine build checkpoint/ engines/mine/target
      a1-trt engine build engines/mine/pair.toml engines/mine-cpu --weights int8
    """
    from a1_trt.build.convert import build_openvino

    manifests = {}
    for name, checkpoint, directory in _steps(source, output):
        note(f"building {directory} of {checkpoint}")
        manifests[name] = build_openvino(checkpoint, directory, weight_format=weight_format, force=force)
    if as_json:
        say_json({"output": str(output), "built": manifests})
        return
    for name, manifest in manifests.items():
        size = sum(manifest["bytes"].values()) / 1e6
        click.echo(f"{name}: {size:.1f} MB of {manifest['weight_format']} weights in {manifest['seconds']} s")
    click.echo(f"name it in a pair file: model = {str(output.resolve())!r}")


@engine.command()
@click.argument("pair")
@json_option
def show(pair: str, as_json: bool) -> None:
    """Show the models of PAIR: where they are, how large, and what they were built of.

    \b
    Examples:
      a1-trt engine show reference
      a1-trt engine show engines/mine/pair.toml --json
    """
    loaded = load_pair(pair)
    models: dict[str, dict[str, Any]] = {role: _shown(loaded.model_path(role)) for role in ROLES}
    if as_json:
        say_json({"pair": loaded.name, **models})
        return
    for role, said in models.items():
        click.echo(f"{role}  {said['kind']}, {said['bytes'] / 1e6:.1f} MB, {said['path']}")
        if said["manifest"]:
            tools = ", ".join(f"{tool} {version}" for tool, version in said["manifest"].get("tools", {}).items())
            click.echo(f"    weights {said['manifest'].get('weight_format')}, built with {tools}")


def _steps(source: Path, output: Path) -> list[tuple[str, Path, Path]]:
    """What is to be built: name, checkpoint, directory."""
    if source.is_dir() and not (source / "pair.toml").is_file():
        return [(output.name, source, output)]
    loaded = load_pair(source)
    return [(role, loaded.model_path(role), output / role) for role in ROLES]


def _shown(path: Path) -> dict[str, Any]:
    if path.is_file():
        return {"path": str(path), "kind": "GGUF", "bytes": path.stat().st_size, "manifest": None}
    manifest = path / "manifest.json"
    return {
        "path": str(path),
        "kind": "OpenVINO" if (path / "openvino_model.xml").is_file() else "Hugging Face checkpoint, not built",
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        "manifest": json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None,
    }
