"""--cluster on the command line: connecting, Ray's own messages in a log file, and the table of workers at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..errors import OutputError
from ..files import cache_home, errors_naming
from ..options.table import Options
from ..reports.tables import count
from . import console as view
from .layout import print_table
from .tables import times

if TYPE_CHECKING:  # these import torch
    from ..checkpoints.loading import ModelChoice
    from ..run.cluster import Cluster, WorkerTotals

_ENVIRONMENT = {  # of Ray, unless the user has set it
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of what it will do in a later version
    "RAY_worker_niceness": "0",  # of workers that this command starts; by default any other program goes before them
}


def open_cluster(options: Options, choice: ModelChoice, console: Console) -> Cluster:
    """Connect to the cluster of resolved options, and wait for its first worker.

    Raises UsageError for a cluster that cannot be used, DeviceError if no worker can be started.
    """
    from ..bark import Settings
    from ..checkpoints.loading import load_codec, load_tokenizer
    from ..run import ray_pool
    from ..run.cluster import Cluster
    from ..run.cluster_worker import own_versions

    assert options.cluster is not None
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    log = log_to_file()
    here = dataclasses.replace(choice, device="auto")  # of this process, which may lack the workers' GPUs
    tokenizer = load_tokenizer(here)
    view.say(console, f"connecting to the cluster {options.cluster}; what Ray logs is in {log}")
    ray_pool.connect(options.cluster)
    pool = ray_pool.RayPool(choice, Settings.from_options(options), options.workers)
    if options.workers is not None and pool.n_starting < options.workers:
        view.warn(
            console,
            f"--workers {options.workers}: there is place for {pool.n_starting} now, and for more with more machines",
        )
    try:
        return Cluster(
            options.model,
            pool,
            tokenizer,
            lambda: load_codec(here),
            own_versions(),
            options.batch_size,
            lambda message: view.say(console, message),
        )
    except BaseException:
        pool.close()
        raise


def log_to_file() -> Path | str:
    """Let Ray write its messages to a file in the user's cache folder and not to the terminal. Returns its path."""
    path = cache_home() / "bark_infinity" / "cluster.log"
    shown: Path | str = path
    try:
        with errors_naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handler: logging.Handler = logging.FileHandler(path, encoding="utf-8")
    except OutputError:  # a folder that cannot be written to
        handler, shown = logging.NullHandler(), os.devnull
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("ray")
    with contextlib.suppress(ImportError):  # connecting will report that
        import ray._private.worker  # which gives its logger a handler for stderr

        # Errors of the cluster are printed on stdout, which is for paths, and no setting of Ray's prevents it.
        ray._private.worker.print_to_stdstream = lambda data, *_, **__: logger.warning("\n".join(data["lines"]))
    logger.handlers.clear()
    # Not a handler of its own, because ray.init removes them: a parent in place of the root, which writes to the terminal.
    logger.parent, logger.propagate = logging.Logger("the file for Ray"), True
    logger.parent.addHandler(handler)
    return shown


def show_workers(console: Console, cluster: Cluster, seconds: float) -> None:
    """Print what each worker has done. `seconds`: of the whole run."""
    rows = [(name, total) for name, total in sorted(cluster.totals.items()) if total.segments or total.failures]
    if not rows:
        return
    table = Table(show_footer=True)
    table.add_column("worker", footer="all", overflow="fold")
    table.add_column("device", overflow="fold")
    totals = [total for _, total in rows]
    for name, footer in zip(("segments", "sound", "busy", "speed", "failed"), _cells(totals), strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for name, total in rows:
        table.add_row(name, total.device, *_cells([total]))
    machines = count(len({total.machine for total in totals}), "machine")
    print_table(console, f"{count(len(rows), 'worker')} on {machines}, {view.clock(seconds)}", table)


def _cells(totals: list[WorkerTotals]) -> tuple[str, ...]:
    """Segments, sound, busy seconds, speed against real time, and failed batches of some workers together."""
    sound, busy = sum(total.sound_s for total in totals), sum(total.busy_s for total in totals)
    segments, failures = sum(total.segments for total in totals), sum(total.failures for total in totals)
    return f"{segments:,}", f"{sound:.1f} s", f"{busy:.1f} s", times(sound, busy), str(failures or "")
