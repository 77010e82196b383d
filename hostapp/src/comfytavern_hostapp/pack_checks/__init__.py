"""What is wrong with packs, seen from outside: before they are published, and once installed.

Rules are functions from facts to faults, listed in one table per command
(``checking.CHECK_RULES``, ``doctor.DOCTOR_RULES``); the documentation has the same tables.

What must stay true: no pack is imported in this process. What has to run runs in processes of
its own (``probes``), so that a pack that ends the process can be told, found and removed.
"""
