"""The service that assists agents: lines of calls, devices of agents, feedback."""
