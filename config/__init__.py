"""What can I change? Settings, accounts, logging and the embedded Valkey; read only where a process starts."""
