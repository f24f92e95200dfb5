"""Run figures of the whole process: `python -m benchmarks [NAME ...] [--keep]`."""

import argparse
import sys

from benchmarks import bench_router, bench_rpc, harness

BENCHMARKS = [
    bench_router.STEPS_VS_SORTEDCONTAINERS,
    bench_rpc.CREATE_TASK_RATE,
    bench_rpc.OFFER_LATENCY,
]


def main() -> int:
    """Run the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--keep", action="store_true", help="store under today's date as well"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(known)}")
    chosen = [known[name] for name in arguments.names or known]
    harness.run(chosen, keep=arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
