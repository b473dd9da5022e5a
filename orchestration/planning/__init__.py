"""When what is due: slots, and later plans and gaps. Pure functions over values; no I/O here."""
