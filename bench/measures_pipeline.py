"""From an upload to the start of the pipeline that it sets off, through record, rule and role."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bench import story
from bench.opentrail_server import start_opentrail
from bench.processes import CannotRun
from bench.report import Row, Target
from bench.run import Run

TARGET = Target("below", 50.0, " ms")
WAIT_SECONDS_MAX = 20.0
"""How long one upload's execution may take to end before the measure is given up."""
LOOK_SECONDS = 0.05
"""How often it is looked for: seldom enough not to be a load of its own."""


def measure_pipeline(run: Run) -> list[Row]:
    """Milliseconds from sending the PUT to the execution's own start time; both are of this machine's clock."""
    with run.processes("pipeline") as processes:
        server = start_opentrail(processes)
        story.set_up(server.client, data_events=[])
        s3, pipelines = server.client("s3"), server.client("codepipeline")
        seen = set(_ended(pipelines, set()))
        took = []
        for number in range(run.uploads):
            run.say(f"upload {number + 1} of {run.uploads}")
            sent = time.time()
            s3.put_object(Bucket=story.SOURCE, Key=story.KEY, Body=story.application(f"page {number}"))
            fresh = _ended(pipelines, seen)
            if len(fresh) != 1:
                raise CannotRun(f"one upload started {len(fresh)} executions")
            took.append(1000 * (next(iter(fresh.values())).timestamp() - sent))
            seen |= set(fresh)
    p95 = statistics.quantiles(took, n=20)[-1]
    shown = f"{statistics.median(took):.1f} ms, p95 {p95:.1f} ms"
    more: dict[str, object] = {"milliseconds": took, "p95": p95}
    return [Row("upload → pipeline started", shown, f"{len(took)} uploads", TARGET, took, more)]


def _ended(pipelines: Any, seen: set[str]) -> dict[str, Any]:
    """{id: start time} of executions not seen before, once there are some and all have ended."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        listed = pipelines.list_pipeline_executions(pipelineName=story.PIPELINE)["pipelineExecutionSummaries"]
        fresh = [each for each in listed if each["pipelineExecutionId"] not in seen]
        if fresh and all(each["status"] != "InProgress" for each in fresh):
            return {each["pipelineExecutionId"]: each["startTime"] for each in fresh}
        time.sleep(LOOK_SECONDS)
    raise CannotRun(f"no pipeline execution ended within {WAIT_SECONDS_MAX:g} s")
