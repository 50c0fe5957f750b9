"""``dovetail doctor``: what of this machine and this configuration would keep a server from serving well, and what to do about it."""
