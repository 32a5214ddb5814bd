"""How is a relation unlinked?"""
