"""The public API: what notebooks and programs use, as `autolabel` itself offers it.

Each method takes the options of its command, with the same names, defaults and errors, and does the
same work; nothing is printed. `autolabel` imports these names when they are first used.
"""
