"""What an operator starts: the command line, the round and its schedule."""
