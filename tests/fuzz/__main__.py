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
        end = monotonic() + asked.seconds / len(chosen)
        while True:
            if not _passes(one, seed):
                return 1
            if monotonic() >= end:
                break
            seed += 1
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


def _passes(one: Target, seed: int) -> bool:
    start = monotonic()
    try:
        count = run(one, seed)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is has been found, a panic of Rust included
        traceback.print_exception(error)
        _tell(f"\n{one.name} fails: {one.about}\nreplay: make fuzz TARGET={one.name} SEED={seed} SECONDS=0")
        return False
    _tell(f"{one.name:16} seed {seed:<8} {count:5} examples {count / (monotonic() - start):8.0f}/s")
    return True


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()
    sys.exit(main(sys.argv[1:]))
