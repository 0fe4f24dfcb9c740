"""Commands that print the figures the documents quote: `python -m benchmarks.NAME --help`, from the
root of the checkout.

Names begin with what is measured: `asr_`, `assist_`, `category_`, `corpus_`, `finetune_`, ...; the
first line of each says what it prints (`head --quiet --lines 1 benchmarks/*.py`). Those without a
`main` are shared: `shared` by all, `lockstep` where arms take turns, the others by the benchmark
that they name.
"""
