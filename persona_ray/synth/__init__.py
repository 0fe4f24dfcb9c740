"""Synthetic call archives with planted truth: what users test their own deployments with.

`persona_ray.synth.build.build_archive` is the way in; `persona_ray.synth.truth` reads it back.
"""
