"""What tests let other processes do: ``python start_worker.py MODULE COMMAND ARGUMENTS``, lines of JSON in and out.

A command is a function of one of these modules, each of which has one concern.
"""
