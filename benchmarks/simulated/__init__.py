"""Simulated tables: answers of models that know nothing of the tests (`tables`), and tests beside ours (`rivals`)."""
