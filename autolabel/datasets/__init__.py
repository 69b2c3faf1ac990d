"""Annotation formats, both ways: pure functions over text, bytes and dicts, without any I/O.

Boxes and names are converted here and nowhere else; inside autolabel they are `Objects`.
"""
