"""The relay: from the alert topics to where people look, Alertmanager and webhooks.

Each destination is served by a courier with a consumer group of its own, so that one that is away holds up no other. A courier keeps
no state beside its group's offset: what stands below it in the alert topics says which episodes are open and what has been told.
Killed at any moment it begins again from there: nothing is lost, and what may be said twice bears the same id.
"""
