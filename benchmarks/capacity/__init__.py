"""What a load wants, and what it costs: `python -m benchmarks.capacity --help`.

engine.py       processors that tasks share, replicas, autoscaling and deaths
system.py       the service as they make it up: a request's way, replayed arrival by arrival
measure.py      the real service on this machine: costs of its stages, then open-loop load
validate.py     both beside each other
recognisers.py  how long sentences wait: how busy recognisers may be, what a fault costs
sizes.py        replicas, nodes and money for many calls
training.py     hours and money of pretraining
costs.yaml      measured costs of stages, each with the command that measured it
prices.yaml     what an hour costs: examples, yours go here
"""
