"""What Streamlit runs, by its path and anew for every look at a page.

It stands here because Streamlit takes the modules of a folder `pages` beside its script for pages of its own making.
"""

from dashboards.pages.app import main

if __name__ == "__main__":
    main()
