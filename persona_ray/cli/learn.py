"""`persona-ray run`, `finetune`, `evaluate`: training and judging."""

from __future__ import annotations

import typer

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, read


def run(config: ConfigPath = None, overrides: Overrides = None, fresh: Fresh = False) -> None:
    """The main job: corpus, annotation, fine-tuning, evaluation, report.

    Runs on Ray (launch.backend=ray) or in this process (launch.backend=plain). An interrupted job
    goes on where it was.
    """
    from persona_ray.cli.tables import print_calls
    from persona_ray.launch.main_job import run_main_job
    from persona_ray.progress import RichProgress

    result = run_main_job(read(config, overrides), RichProgress(), fresh=fresh)
    print_calls(result.data.calls)
    typer.echo(str(result))


def finetune(config: ConfigPath = None, overrides: Overrides = None, fresh: Fresh = False) -> None:
    """Train the bimodal model on the labelled clips and write a bundle.

    Encoders are frozen while epoch <= training.frozen_epochs, then trained too; training stops
    when the loss falls below training.stop_loss or the epochs are out.
    """
    from persona_ray.launch.finetune import finetune as fit
    from persona_ray.progress import RichProgress

    typer.echo(str(fit(read(config, overrides), RichProgress(), fresh=fresh)))


def evaluate(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Judge the bundle on customers it never heard; writes report.html and report.json.

    Also trains text only, speech only and both with every customer held out once
    (evaluation.folds, 0 leaves it out).
    """
    from persona_ray.launch.evaluate import evaluate_run
    from persona_ray.progress import RichProgress

    typer.echo(str(evaluate_run(read(config, overrides), RichProgress())))
