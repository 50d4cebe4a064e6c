"""The evaluator: a process of low priority that measures changes on recorded time, asked over the bus.

``service`` follows the tape and takes requests, ``queue`` says what is next, ``process`` runs one job in a process of its
own, ``job`` is what runs in it.
"""
