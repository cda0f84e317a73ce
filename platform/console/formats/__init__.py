"""Dates and times as the admin writes them: sortable, short, in UTC."""
