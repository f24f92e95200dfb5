"""Run figures of the whole process: `python -m benchmarks [NAME ...] [--keep]`.

A name may be the beginning of one: `routing` runs all figures of the matcher.
"""

import argparse
import sys

from benchmarks import (
    bench_catchup,
    bench_explain,
    bench_expressions,
    bench_live,
    bench_memory,
    bench_offers,
    bench_router,
    bench_rpc,
    bench_sessions,
    bench_share,
    bench_streams,
    harness,
)
from benchmarks.players import SequencesDiffer

BENCHMARKS = [
    bench_router.STEPS_VS_CPP,
    bench_router.STEPS_VS_SORTEDCONTAINERS,
    bench_router.GROWTH_BACKLOG,
    bench_router.GROWTH_WORKERS,
    bench_expressions.EXPRESSIONS,
    bench_expressions.MISMATCH,
    bench_memory.BYTES_PER_TASK,
    bench_memory.BYTES_PER_WORKER,
    bench_share.SHARE,
    bench_explain.EXPLAIN_WRITER_DELAY,
    bench_rpc.CREATE_TASK_RATE,
    bench_rpc.OFFER_LATENCY,
    bench_streams.STREAM_BYTES_PER_AGENT,
    bench_streams.STREAM_IDLE_CPU,
    bench_sessions.SESSION_BYTES_PER_WORKER,
    bench_catchup.STREAM_CATCHUP,
    bench_live.STREAM_LIVE,
    bench_offers.STREAM_OFFER_LATENCY,
]


def main() -> int:
    """Run the named benchmarks, or all of them; fail if two routers disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--keep", action="store_true", help="store under today's date as well"
    )
    arguments = parser.parse_args()
    for wanted in arguments.names:
        if not any(name.startswith(wanted) for name in known):
            parser.error(f"no benchmark {wanted}; there are {', '.join(known)}")
    beginnings = tuple(arguments.names) or ("",)
    chosen = [each for each in BENCHMARKS if each.name.startswith(beginnings)]
    try:
        harness.run(chosen, keep=arguments.keep)
    except SequencesDiffer as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
