from __future__ import annotations

import random

from tests.fuzz.fuzz_codec import run


def test_fuzz_codec(long_form: bool) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # shown when it fails
    tried, decoded = run(60 if long_form else 1, seed)
    assert tried > 100
    assert 0 < decoded < tried
