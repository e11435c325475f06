"""Stores in other people's servers and workers: one thin file for each framework.

Nothing here knows a store's inside.
"""
