"""What Streamlit runs. It runs this file by its path, as a script, for every look at a page."""

from dashboards.pages.app import main

if __name__ == "__main__":
    main()
