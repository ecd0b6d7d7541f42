"""Pure values that the layers pass to each other, and the ports that adapters implement.

Import from the module that defines a name: there is one module a subject.
"""
