"""Seed data of the domains and methods.

sources reads rows from files, URLs and the hub; sampling draws those that fit, convert brings them
into the paper's form, and classify keeps those of one class.
"""
