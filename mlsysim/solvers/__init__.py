"""Solvers: things in, a frozen result out; each composes equations and states what it leaves out."""
