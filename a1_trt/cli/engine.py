"""a1-trt engine plan | build | show | check"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import choice_option, gpu_option, gpu_spec
from a1_trt.cli.output import Output, error_document, json_option, note, progress, say_json
from a1_trt.cli.pair import size_of
from a1_trt.cli.tables import megabytes
from a1_trt.config import load_pair
from a1_trt.errors import BuildError, InvalidRequestError
from a1_trt.types import ROLES

if TYPE_CHECKING:
    from a1_trt.build.check import Checked


@click.group(cls=Group)
def engine() -> None:
    """Plan and build models for an engine, and look at built ones.

    \b
    Examples:
      a1-trt engine plan r1-distill-qwen-1.5b_qwq-32b --gpu h100-80gx2
      a1-trt engine build r1-distill-qwen-1.5b_qwq-32b --profile pytorch
    """


@engine.command()
@click.argument("pair")
@choice_option(
    "--profile",
    of=("pytorch", "tensorrt"),
    help="TensorRT-LLM's LLM API (1.2.1 and 1.3), or its engines (up to 1.2.1).",
)
@gpu_option()
@click.option("--output", type=click.Path(path_type=Path), help="Where to build; beside the pair file when not given.")
@click.option("--script", is_flag=True, help="Print the commands alone, as a shell script.")
@json_option
def plan(pair: str, profile: Any, gpu: str | None, output: Path | None, script: bool, out: Output) -> None:
    """Show what PAIR needs on GPUs and how it would be built; runs nothing, and needs no GPU.

    The exit status is 5 when it does not fit the GPUs; then the plan says by how much, and what to change.

    \b
    Examples:
      a1-trt engine plan r1-distill-qwen-1.5b_qwq-32b --gpu h100-80gx2
      a1-trt engine plan engines/mine/pair.toml --profile tensorrt --gpu l4-24g --json
    """
    from a1_trt.build import describe
    from a1_trt.build.plan import make_plan

    made = make_plan(load_pair(pair), profile, gpu_spec(gpu), output=output)
    lines = describe.script(made) if script else describe.lines(made)
    out.deliver(describe.document(made), lambda _: click.echo("\n".join(lines)))
    if not made.fits:
        sys.exit(BuildError.exit_code)


@engine.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path), required=False)
@choice_option("--profile", of=("cpu", "pytorch", "tensorrt"), help="The CPU engine, or one of those of 'engine plan'.")
@click.option("--weights", "weight_format", default="f16", help="cpu: f32, f16 or int8.")
@click.option("--force", is_flag=True, help="cpu: replace OUTPUT if it exists.")
@gpu_option("for tensorrt and pytorch; those of this machine when not given")
@json_option
def build(
    source: Path, output: Path | None, profile: Any, weight_format: Any, force: bool, gpu: str | None, out: Output
) -> None:
    """Build a model for the CPU engine, or a pair for GPUs.

    cpu: SOURCE is a Hugging Face checkpoint's directory, and OUTPUT becomes the built one; or SOURCE is a pair, whose
    checkpoints are then built as OUTPUT/draft and OUTPUT/target. Building needs torch and optimum-intel, running does
    not.

    tensorrt, pytorch: SOURCE is a pair, OUTPUT the directory for its engines, beside the pair file when not given. What
    'engine plan' shows is carried out. A build that was interrupted goes on where it stopped when it is run again.

    \b
    Examples:
      a1-trt engine build checkpoint/ engines/mine/target
      a1-trt engine build engines/mine/pair.toml engines/mine-cpu --weights int8
      a1-trt engine build r1-distill-qwen-1.5b_qwq-32b --profile pytorch
    """
    if profile == "cpu":
        _build_cpu(source, output, weight_format, force, out)
    else:
        _build_gpu(str(source), output, profile, gpu, out)


@engine.command()
@click.argument("pair")
@json_option
def show(pair: str, out: Output) -> None:
    """Show the models of PAIR, or what a directory of GPU engines was built of and for.

    \b
    Examples:
      a1-trt engine show engines/mine/pytorch --json
    """
    if (Path(pair) / ".build.json").is_file():
        from a1_trt.build.manifest import read_manifest

        out.deliver(read_manifest(Path(pair)), _show_manifest)
        return
    loaded = load_pair(pair)
    models: dict[str, Any] = {role: _shown(loaded.model_path(role)) for role in ROLES}
    out.deliver({"pair": loaded.name, **models}, lambda _: _show_models(models))


@engine.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-p", "--pair", help="Pair to compare with; the one beside DIRECTORY when not given.")
@gpu_option("to compare with; those of this machine when not given")
@json_option
def check(directory: Path, pair: str | None, gpu: str | None, out: Output) -> None:
    """Compare the GPU engines in DIRECTORY with their record, their pair and this machine.

    The exit status is 5 when they must not be used together.

    \b
    Examples:
      a1-trt engine check engines/mine/pytorch
      a1-trt engine check /engines --pair engines/mine/pair.toml --json
    """
    from a1_trt.build.check import check as compare
    from a1_trt.build.hardware import GpuSpec

    beside = directory.absolute().parent / "pair.toml"
    named = load_pair(pair) if pair else load_pair(beside) if beside.is_file() else None
    try:
        report = compare(directory, named, GpuSpec.parse(gpu) if gpu else None)
    except BuildError as error:
        if not out.as_json:
            raise
        say_json({"ok": False, "problems": [error_document(error)], "not_compared": [], "manifest": None})
        sys.exit(error.exit_code)
    document = {"ok": report.ok, "problems": [error_document(error) for error in report.problems]}
    document |= {"not_compared": report.not_compared, "manifest": report.manifest}
    out.deliver(document, lambda _: _show_check(directory, report))
    if not report.ok:
        sys.exit(BuildError.exit_code)


def _build_cpu(source: Path, output: Path | None, weight_format: Any, force: bool, out: Output) -> None:
    from a1_trt.build.convert import build_openvino

    if output is None:
        remedy = "name the directory to make after SOURCE"
        raise InvalidRequestError("the CPU build has no OUTPUT", field="output", remedy=remedy)
    manifests = {}
    for name, checkpoint, directory in _steps(source, output):
        progress(f"building {directory} of {checkpoint}")
        manifests[name] = build_openvino(checkpoint, directory, weight_format=weight_format, force=force)
    out.deliver({"output": str(output), "built": manifests}, _show_built)


def _build_gpu(pair: str, output: Path | None, profile: Any, gpu: str | None, out: Output) -> None:
    from a1_trt.build.manifest import installed_version
    from a1_trt.build.plan import make_plan
    from a1_trt.build.run import run
    from a1_trt.cli.progress import StepsView

    here = gpu_spec(None)
    made = make_plan(load_pair(pair), profile, gpu_spec(gpu) if gpu else here, output=output)
    for text in made.warnings:
        note(f"note: {text}")
    for kind in (signal.SIGTERM, signal.SIGHUP):  # a container that stops, a connection that is lost: as Ctrl-C
        signal.signal(kind, signal.default_int_handler)
    with StepsView(len(made.steps)) as view:
        manifest = run(made, here, installed_version(), lambda now: view.step(now.n_done, now.step.title, now.state))
    document = {"output": str(made.output), "manifest": manifest}
    lines = (
        f"{made.output}: built in {manifest['seconds']} s",
        f"next: a1-trt deploy render {pair} --profile {profile} --output repository",
    )
    out.deliver(document, lambda _: click.echo("\n".join(lines)))


def _steps(source: Path, output: Path) -> list[tuple[str, Path, Path]]:
    """Name, checkpoint and directory of each model to build."""
    if source.is_dir() and not (source / "pair.toml").is_file():
        return [(output.name, source, output)]
    loaded = load_pair(source)
    return [(role, loaded.model_path(role), output / role) for role in ROLES]


def _shown(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    built = "OpenVINO" if (path / "openvino_model.xml").is_file() else "Hugging Face checkpoint, not built"
    kind = "GGUF" if path.is_file() else built
    return {"path": str(path), "kind": kind, "bytes": size_of(path), "manifest": manifest}


def _show_models(models: Mapping[str, dict[str, Any]]) -> None:
    for role, model in models.items():
        click.echo(f"{role}  {model['kind']}, {megabytes(model['bytes'])}, {model['path']}")
        if model["manifest"]:
            tools = ", ".join(f"{tool} {version}" for tool, version in model["manifest"].get("tools", {}).items())
            click.echo(f"    weights {model['manifest'].get('weight_format')}, built with {tools}")


def _show_check(directory: Path, report: Checked) -> None:
    for error in report.problems:
        click.echo(f"wrong [{error.field}]: {error}")
    click.echo(f"{directory}: {'may be used' if report.ok else 'must not be used'}")
    if report.not_compared:
        note(f"not compared here: {', '.join(report.not_compared)}")


def _show_built(document: dict[str, Any]) -> None:
    for name, manifest in document["built"].items():
        size = megabytes(sum(manifest["bytes"].values()))
        click.echo(f"{name}: {size} of {manifest['weight_format']} weights in {manifest['seconds']} s")
    click.echo(f"name it in a pair file: model = {str(Path(document['output']).resolve())!r}")


def _show_manifest(manifest: dict[str, Any]) -> None:
    gpu = manifest["gpu"]
    click.echo(f"{manifest['pair']}: {manifest['profile']}, TensorRT-LLM {manifest['tensorrt_llm']}")
    click.echo(f"built {manifest['started']} in {manifest['seconds']} s for {gpu['count']} x {gpu['name']}")
    for role in ROLES:
        size = megabytes(sum(file["bytes"] for name, file in manifest["files"].items() if name.startswith(f"{role}/")))
        gpus = "; ".join(", ".join(map(str, replica)) for replica in manifest["placement"][role])
        click.echo(f"  {role}: GPU {gpus}, weights {manifest['quantization'][role]}, {size} in {role}/")
    click.echo(f"  at most {manifest['max_scoring_requests']} scores at once, by {manifest['scoring']}")
