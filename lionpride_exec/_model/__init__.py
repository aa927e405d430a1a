"""Passive data: elements, piles, progressions, flows, executions, and the policies that users write down."""
