"""What people see: the staff admin."""
