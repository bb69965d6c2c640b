"""``make fuzz``: runs fuzz targets with one seed after the other until the time is over."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import traceback
from collections.abc import Sequence
from time import monotonic

from fuzz.catalogue import TARGETS
from fuzz.fuzzing import Target, run


def main(arguments: Sequence[str], targets: Sequence[Target] = TARGETS) -> int:
    """Run the targets that the arguments name, all of them by default; 1 if one has failed."""
    asked = _parsed(arguments, targets)
    chosen = [one for one in targets if asked.target in ("", one.name)]
    seed: int = asked.seed
    for one in chosen:
        start, first, count = monotonic(), seed, 0
        while seed == first or monotonic() < start + asked.seconds / len(chosen):
            examples = _examples_passed(one, seed)
            if examples is None:
                return 1
            count += examples
            seed += 1
        rate = count / (monotonic() - start)
        _tell(f"{one.name:16} seeds {first} to {seed - 1}  {count:9,} examples {rate:8.0f}/s")
    return 0


def _parsed(arguments: Sequence[str], targets: Sequence[Target]) -> argparse.Namespace:
    table = "\n".join(f"  {one.name:16} {one.about}" for one in targets)
    parser = argparse.ArgumentParser(
        "make fuzz", None, epilog=f"targets:\n{table}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, for all targets together")
    parser.add_argument("--target", default="", choices=["", *(one.name for one in targets)], metavar="NAME")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first run")
    return parser.parse_args(arguments)


def _examples_passed(one: Target, seed: int) -> int | None:
    """How many examples the seed gave; None if one of them failed."""
    try:
        return run(one, seed)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is has been found, a panic of Rust included
        traceback.print_exception(error)
        _tell(f"\n{one.name} fails: {one.about}\nreplay: make fuzz TARGET={one.name} SEED={seed} SECONDS=0")
        return None


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()
    sys.exit(main(sys.argv[1:]))
