"""Commands that print the figures the documents quote: `python -m benchmarks.NAME --help`, from the
root of the checkout.

    asr_human_speech        recogniser: errors and speed on human speech over the telephone
    corpus_memory           corpus: whether memory grows with the number of calls
    probe_archive           synthetic archive: how much of the colour cheap classifiers find in it
    speech_towers           speech encoders: the demo's customers, human speech, what they cost
    text_towers             text encoders: the demo's customers
    pretraining_ablation    pretraining: fine-tuning after none, some and all of its epochs
    text_pretraining_case   pretraining of text where few dialogues are labelled
    pretraining_throughput  pretraining: its loop against a plain one, its batches against others
    serving_load            the service under load, against one process, LitServe and BentoML
    serving_live            the service: how many live calls it holds at real time
    screening_sessions      screening: 200 calls at once, with fakes for models
    screening_live          screening: how many real calls the service holds at real time
    screenshot              a picture of a report, as in the README

Beside them: `shared`, `human_probes` (of speech_towers), `pretraining_arms` (of
pretraining_throughput), `serving_*` (of serving_load), `live_ramp` (of both `*_live`),
`screening_fakes` and `screening_phone` (of screening_sessions).
"""
