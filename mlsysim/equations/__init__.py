"""Closed forms: quantities in by keyword, one return expression each, nothing else.

Every function here also serves Excel: as ``=MLS_...()``, as a native formula translated from its
own source, and in the README.  So no ``if`` on a number and no names but parameters, module
constants, numpy functions and other equations.
"""
