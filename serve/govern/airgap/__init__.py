"""Bundles for machines without a network: made where there is one, checked and installed where there is none."""
