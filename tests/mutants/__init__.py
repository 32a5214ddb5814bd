"""`make mutants`: changes the code a little, one place at a time, and lists the changes that no test notices."""
