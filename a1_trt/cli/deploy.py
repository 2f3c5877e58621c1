"""a1-trt deploy render | check"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a1_trt.cli.old_spellings import Group
from a1_trt.cli.options import choice_option, gpu_option, gpu_spec
from a1_trt.cli.output import FOLDER, Output, json_option, note
from a1_trt.cli.tables import number, seconds
from a1_trt.config import Pair, load_pair
from a1_trt.errors import A1Error, ConfigError, DeployError, InvalidRequestError
from a1_trt.types import ROLES, Role

if TYPE_CHECKING:
    from a1_trt.triton.findings import Report
    from a1_trt.triton.role_placement import Profile, RolePlacement


@click.group(cls=Group)
def deploy() -> None:
    """Write model repositories for Triton, and check them.

    \b
    Examples:
      a1-trt deploy render qwen2.5-7b-instruct_qwq-32b --profile pytorch --gpu h100-80gx2 --output served
      a1-trt deploy check served --url grpc://127.0.0.1:8001
    """


@deploy.command()
@click.argument("pair")
@choice_option("--profile", of=("cpu", "pytorch", "tensorrt"), help="What stands behind draft and target.")
@click.option("--output", type=FOLDER, required=True, help="Folder to write to.")
@gpu_option("to size for; those of this machine when not given")
@choice_option("--for", "platform", of=("compose", "kubernetes"), help="One server, or one for each copy of a model.")
@click.option("--force", is_flag=True, help="Replace files that were not rendered, or were changed since.")
@json_option
def render(pair: str, profile: Profile, output: Path, gpu: str | None, platform: Any, force: bool, out: Output) -> None:
    """Write the Triton model repository of PAIR, and for GPUs the files that put it into containers.

    cpu: this project's CPU engine. pytorch: TensorRT-LLM's LLM API behind this project's own model. tensorrt: compiled
    engines behind TensorRT-LLM's own model (TensorRT-LLM up to 1.2.1).

    \b
    Examples:
      a1-trt deploy render reference --output triton_models
      a1-trt deploy render mine --profile tensorrt --gpu h100-80gx2 --output served
      a1-trt deploy render mine --profile pytorch --gpu h100-80gx8 --for kubernetes --output cluster --json
    """
    from a1_trt.triton.render import render as write

    loaded = load_pair(pair)
    placement, about = _placement(loaded, profile, gpu)
    written = write(loaded, output, profile=profile, placement=placement, platform=platform, force=force)
    names = [str(path.relative_to(output)) for path in written]
    document = {"pair": loaded.name, "profile": profile, "output": str(output), **about, "files": names}
    out.deliver(document, _show_rendered)


@deploy.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--url", help="Also ask the server at grpc://HOST:PORT that serves it.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 3600), default=30.0, help="Seconds.")
@json_option
@click.pass_context
def check(context: click.Context, directory: Path, url: str | None, timeout_s: float, out: Output) -> None:
    """Check the model repository in DIRECTORY, field by field; with --url, also the server that serves it.

    The server has to be ready, to have the tensors that are wanted of it, and to do a little work in time: a token of
    each model, scores that are the same alone and in company, a problem. Exit status 6 when anything is wrong.

    \b
    Examples:
      a1-trt deploy check triton_models
      a1-trt deploy check served --url grpc://127.0.0.1:8001 --json
    """
    from a1_trt.triton.check import check as look

    report = look(directory)
    live = _live(report, url, timeout_s) if url else None
    document = {**report.as_dict(), **({"live": live} if live else {})}
    out.deliver(document, lambda _: _show_report(report, live))
    context.exit(0 if report.ok else DeployError.exit_code)


def _placement(
    pair: Pair, profile: Profile, gpu: str | None
) -> tuple[Mapping[Role, RolePlacement] | None, dict[str, Any]]:
    """Which GPUs hold what, and what to say about it; nothing for a CPU."""
    if profile == "cpu":
        if gpu:
            raise InvalidRequestError("profile cpu has no GPUs", field="gpu", remedy="leave out --gpu")
        return None, {"warnings": []}
    from a1_trt.build.plan import make_plan
    from a1_trt.triton.role_placement import RolePlacement, default_placement

    try:
        plan = make_plan(pair, profile, gpu_spec(gpu))
    except ConfigError as error:
        if gpu:
            raise
        why = f"sizes are not planned ({error.message}): TensorRT-LLM's own are used; give --gpu"
        return default_placement(pair), {"gpu": None, "warnings": [why]}
    if not plan.fits:
        missing = f"{pair.name} does not fit {plan.gpu}: {plan.short_gib:.1f} GiB are missing"
        raise DeployError(missing, field="gpu", remedy="; or ".join(plan.remedies) or "see 'a1-trt engine plan'")
    placement = {
        role: RolePlacement(
            plan.placement[role].replicas,
            plan.sizes[role].max_batch_size,
            plan.sizes[role].max_seq_len - 1,  # a score generates one token more
            max(plan.max_scoring_requests, 1),
            settings=plan.settings[role] if profile == "pytorch" else {},
            parameters=plan.runtime[role],
        )
        for role in ROLES
    }
    places = {role: [list(gpus) for gpus in placement[role].replicas] for role in ROLES}
    return placement, {"gpu": str(plan.gpu), "gpus": places, "warnings": list(plan.warnings)}


def _live(report: Report, url: str, timeout_s: float) -> dict[str, Any]:
    """What the server at `url` says and does; what is wrong with it goes into the report."""
    from a1_trt.triton.canary import run_canary
    from a1_trt.triton.findings import Finding
    from a1_trt.triton.probe import probe

    models: list[dict[str, Any]] = []
    canaries: list[dict[str, Any]] = []
    over_http = url.startswith(("http://", "https://"))
    for name in report.models:
        try:
            models += [asdict(model) for model in probe(url, (name,), timeout_s=timeout_s)]
            if not over_http:
                canaries.append(asdict(asyncio.run(run_canary(url, name, timeout_s=timeout_s))))
        except A1Error as error:
            finding = Finding(name, error.field or "", "live", error.message, error.remedy or "see the server's log")
            report.problems.append(finding)
    if over_http:
        report.warnings.append(Finding("", "url", "live", "no work was asked for over HTTP", "give a grpc:// address"))
    return {"url": url, "models": models, "canaries": canaries}


def _show_rendered(document: dict[str, Any]) -> None:
    for warning in document["warnings"]:
        note(f"warning: {warning}")
    output = document["output"]
    click.echo(f"{output}: {len(document['files'])} files for {document['pair']}, profile {document['profile']}")
    click.echo(f"check it: a1-trt deploy check {output}")


def _show_report(report: Report, live: dict[str, Any] | None) -> None:
    for finding in report.warnings:
        note(f"warning: {finding}")
    for finding in report.problems:
        note(f"{finding.code}: {finding}")
    for canary in (live or {}).get("canaries", ()):
        score = canary["score_difference"]
        scores = "" if score is None else f", scores differ by at most {number(score, 4)}"
        click.echo(f"{canary['model']}: answered in {seconds(canary['seconds'], 3)}{scores}")
    n = len(report.problems)
    verdict = "nothing is wrong" if report.ok else f"{n} problem{'s' if n > 1 else ''}"
    click.echo(f"{report.directory}: profile {report.profile}, models {', '.join(report.models) or 'none'}: {verdict}")
