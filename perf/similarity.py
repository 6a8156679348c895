r"""How long the similarity of all pairs of 100,000 embeddings takes, and how much memory.

    python perf/similarity.py
    python perf/similarity.py --rows 2000 --check

Random embeddings stand in for a model's and are made chunk by chunk, so what is timed is adding
them up. `--check` computes all pairs one by one, too, and tells the differences.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from agorabench.intrinsic.similarity import CHUNK, Cosines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--check", action="store_true", help="also pair by pair")
    args = parser.parse_args()

    before = peak()
    cosines, seconds, kept = Cosines(), 0.0, []
    random = np.random.default_rng(1)
    for start in range(0, args.rows, CHUNK):
        size = (min(CHUNK, args.rows - start), args.dimensions)
        rows = random.normal(0.2, 1.0, size).astype(np.float32)
        begun = time.perf_counter()
        cosines.add_rows(rows)
        seconds += time.perf_counter() - begun
        if args.check:
            kept.append(rows)
    value, error = cosines.mean_similarity()
    print(f"{args.rows:,} x {args.dimensions:,}: {value:.6f} +- {error:.2g} in {seconds:.1f} s")
    print(f"peak memory {peak():,.0f} MB, {before:,.0f} of it before the first row")
    if args.check:
        whole = np.concatenate(kept).astype(np.float64)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        pairs = (whole @ whole.T).sum() - len(whole)
        wanted = pairs / (len(whole) * (len(whole) - 1))
        print(f"pair by pair: {wanted:.6f}, {abs(wanted - value):.1e} away")


def peak():
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
