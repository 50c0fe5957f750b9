"""Requests that are declined: by rules, by a guard model beside, each naming a clause of the acceptable use policy."""
