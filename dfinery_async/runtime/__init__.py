"""What does: the only package that awaits, keeps time, and opens sockets and files."""
