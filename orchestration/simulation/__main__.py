"""`python -m orchestration.simulation`: simulate a month of every plan and write `docs/month.md`."""

from orchestration.simulation.page import write_page

if __name__ == "__main__":
    write_page()
