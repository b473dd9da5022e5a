"""What people see, page by page: pickers, charts, tables, and words where there is nothing to show.

Belongs here: everything that knows Streamlit. Does not: SQL (`queries`), shapes and colours (`charts`).
"""
