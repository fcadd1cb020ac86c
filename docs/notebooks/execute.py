"""Run the notebook on the data folder and store its outputs: `make notebook`, after `make demo`.

Needs the extra `notebook`: `pip install -e ".[notebook]"`. Not here: the test that runs its cells, which needs no Jupyter.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("profiles.ipynb")


def main() -> None:
    """Run it from the first cell to the last; a cell that fails ends it and leaves the file as it was."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", record_timing=False, resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
