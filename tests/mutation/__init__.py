"""Small faults in the modules that decide about rows, and which of them no test finds.

    python -m tests.mutation --map [TEST ...]    run tests once, and remember which line each runs
    python -m tests.mutation [MODULE ...]        make the faults, each alone
    python -m tests.mutation --only 'a < b -> a <= b' --with TEST sync/pipeline/load.py

Without names it takes TESTS and MODULES.

A fault turns one comparison, sign, condition, constant or statement of a module into another. It is
made in the memory of a process of its own, which then runs the tests that run its line, the likely
finders first. A survivor is shown with its line: either a test is missing, or the fault does no
harm. `harmless.py` names the survivors that were looked at, and why they do no harm.

What was found is remembered in build/mutation.results and not tried again, until its function
changes. Several processes may share it, each with modules of its own.
"""
