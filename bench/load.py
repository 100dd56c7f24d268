"""Load, made by wrk: one thread, the same connections for every peer, requests from a file in turn.

The requests are formatted before the clock starts, so that wrk's own work is the same small one for all. Knows no peer.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import CannotRun, tool

CONNECTIONS = 48
WARM_UP_SECONDS = 1
REQUEST_SECONDS_MAX = 30
"""wrk counts a request that takes longer as timed out."""

SCRIPT = """
local requests, place, answered = {}, 0, 0
local limit = tonumber(os.getenv("BENCH_LIMIT") or "0")

local function slurp(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read("*a")
  file:close()
  return data
end

function init(_)
  local body = slurp(os.getenv("BENCH_BODY"))
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    local method, path = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format(method, path, nil, method == "PUT" and body or nil)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

if limit > 0 then
  local ffi = require("ffi")
  ffi.cdef("int kill(int pid, int signal); int getpid(void);")
  function response()
    answered = answered + 1
    if answered == limit then
      wrk.thread:stop()
      ffi.C.kill(ffi.C.getpid(), 2)  -- wakes wrk, which sleeps until its time is over
    end
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %d, "bytes": %.0f, "microseconds": %.0f, ' ..
    '"refused": %d, "broken": %d, "p50": %.0f, "p99": %.0f}\\n',
    summary.requests, summary.bytes, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked of one peer. `requests` are (method, path with query); `body` goes with every PUT."""

    url: str
    requests: Sequence[tuple[str, str]]
    body: bytes = b""
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What wrk saw. Latencies are microseconds."""

    requests: int
    bytes: int
    microseconds: int
    refused: int
    broken: int
    p50: int
    p99: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests * 1e6 / self.microseconds

    @property
    def throughput(self) -> float:
        """Bytes a second."""
        return self.bytes * 1e6 / self.microseconds


class Wrk:
    """Runs wrk with scripts and lists of requests in one directory."""

    def __init__(self, directory: Path) -> None:
        self._wrk = tool("wrk")
        self._directory = directory
        self._script = directory / "load.lua"
        self._script.write_text(SCRIPT)
        self._written: dict[int, tuple[Load, dict[str, str]]] = {}

    def run(self, load: Load, seconds: int, *, answers: int = 0) -> Outcome:
        """Drive the peer for a time, or until so many answers have come. Raises CannotRun unless every answer was a
        success: refusals are quick, and no figure."""
        environment = self._files(load) | {"BENCH_LIMIT": str(answers)}
        command = [self._wrk, "-t1", f"-c{load.connections}", f"-d{seconds}s", f"--timeout={REQUEST_SECONDS_MAX}s"]
        done = subprocess.run(
            [*command, "-s", str(self._script), load.url], env=environment, capture_output=True, text=True, check=False
        )
        told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if done.returncode or not told:
            raise CannotRun(f"wrk failed against {load.url}: {done.stderr or done.stdout}")
        outcome = Outcome(**json.loads(told[0].removeprefix("RESULT ")))
        if outcome.refused or not outcome.requests:
            raise CannotRun(f"{load.url}: {outcome.refused} of {outcome.requests} requests were refused")
        return outcome

    def warm_up(self, load: Load) -> None:
        """Let caches fill and code be compiled before anything counts."""
        self.run(load, WARM_UP_SECONDS)

    def _files(self, load: Load) -> dict[str, str]:
        found = self._written.get(id(load))
        if found is None:
            place = self._directory / f"load-{len(self._written)}"
            place.with_suffix(".requests").write_text("".join(f"{method} {path}\n" for method, path in load.requests))
            place.with_suffix(".body").write_bytes(load.body)
            names = {"BENCH_REQUESTS": f"{place}.requests", "BENCH_BODY": f"{place}.body"}
            found = self._written[id(load)] = (load, names)
        return found[1]
