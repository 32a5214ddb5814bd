"""What outlives a process: a few verbs each, decided in Lua on Redis TIME, all keys in keys.py."""
