"""The durable spool: what was accepted stands on disk until the API has confirmed it.

spool     the loop's side: what is written together, what is read back when
worker    the one thread that may touch a store, and what a fork does to it
slots     who owns which folder, and what the owner tells of it
notices   when the owner tells others how much waits
store     one SQLite file
rescue    what becomes of files that are damaged or not ours
files     folders and files that only their owner may see
"""
