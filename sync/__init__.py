"""Keeps an Aito predictive database fed from BigQuery.

The way through: main.py -> run -> load -> source and target.
"""

__version__ = "0.2.0"
