"""The verbs an operator starts; each reads like a checklist."""
