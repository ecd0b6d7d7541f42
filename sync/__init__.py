"""Keeps an Aito predictive database fed from BigQuery.

The way through: main.py -> run -> load -> source and target.
"""
